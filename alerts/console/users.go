package console

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"clickgate/aggregate"
	"clickgate/alerts/console/auth"
)

// usersView is the page of users.
type usersView struct {
	Users      []aggregate.User
	Self       string
	Roles      []string
	Tenant     string // the only one that users may be of; empty: any
	AllTenants string
	Problem    string
	Form       struct{ Name, Tenant, Role string } // as filled in
}

func (s *Server) users(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.showUsers(w, r, v, http.StatusOK, &usersView{})
}

func (s *Server) showUsers(w http.ResponseWriter, r *http.Request, v *visit, status int, view *usersView) (err error) {
	if view.Users, err = s.accounts.List(r.Context(), v.actor); err != nil {
		return err
	}
	view.Self, view.Roles, view.Tenant, view.AllTenants = v.user.Name, auth.RoleNames(), v.tenant, aggregate.AllTenants
	p := &page{Title: "Users", Path: "/users", Body: view, Flash: s.sessions.PopString(r.Context(), keyFlash)}
	return s.show(w, v, status, "users", p)
}

func (s *Server) addUser(w http.ResponseWriter, r *http.Request, v *visit) error {
	form, err := postForm(r)
	if err != nil {
		return err
	}
	view := &usersView{}
	f := &view.Form
	f.Name, f.Tenant, f.Role = strings.TrimSpace(form.Get("name")), strings.TrimSpace(form.Get("tenant")), form.Get("role")
	if v.tenant != "" && f.Tenant == "" {
		f.Tenant = v.tenant
	}
	password, err := auth.NewPassword(s.dep.Entropy)
	if err != nil {
		return err
	}
	if err := s.accounts.Add(r.Context(), v.actor, f.Name, f.Tenant, f.Role, password); err != nil {
		return s.userProblem(w, r, v, view, err)
	}
	return s.toUsers(w, r, fmt.Sprintf("User %s is added. The first password, shown this once: %s", f.Name, password))
}

func (s *Server) setDisabled(disabled bool) func(http.ResponseWriter, *http.Request, *visit) error {
	done := "enabled"
	if disabled {
		done = "disabled; open sessions are over"
	}
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		name := r.PathValue("name")
		if err := s.accounts.SetDisabled(r.Context(), v.actor, name, disabled); err != nil {
			return s.userProblem(w, r, v, &usersView{}, err)
		}
		return s.toUsers(w, r, fmt.Sprintf("User %s is %s.", name, done))
	}
}

func (s *Server) resetPassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	name := r.PathValue("name")
	if name == v.user.Name {
		http.Redirect(w, r, "/password", http.StatusSeeOther)
		return nil
	}
	password, err := auth.NewPassword(s.dep.Entropy)
	if err != nil {
		return err
	}
	if err := s.accounts.SetPassword(r.Context(), v.actor, name, password); err != nil {
		return s.userProblem(w, r, v, &usersView{}, err)
	}
	return s.toUsers(w, r, fmt.Sprintf("User %s has a new password, shown this once: %s", name, password))
}

// toUsers shows a message on the users page, by a redirect so that loading the
// page again repeats nothing.
func (s *Server) toUsers(w http.ResponseWriter, r *http.Request, message string) error {
	s.sessions.Put(r.Context(), keyFlash, message)
	http.Redirect(w, r, "/users", http.StatusSeeOther)
	return nil
}

// userProblem shows what the administrator can put right; other errors are not
// for the page.
func (s *Server) userProblem(w http.ResponseWriter, r *http.Request, v *visit, view *usersView, err error) error {
	status := 0
	for _, c := range []struct {
		err    error
		status int
	}{
		{aggregate.ErrNoUser, http.StatusNotFound}, {aggregate.ErrUserExists, http.StatusConflict}, {aggregate.ErrUserChanged, http.StatusConflict},
		{auth.ErrScope, http.StatusForbidden}, {auth.ErrSelf, http.StatusConflict}, {auth.ErrBusy, http.StatusServiceUnavailable},
		{auth.ErrName, http.StatusBadRequest}, {auth.ErrTenant, http.StatusBadRequest}, {auth.ErrRole, http.StatusBadRequest},
	} {
		if errors.Is(err, c.err) {
			status = c.status
		}
	}
	if status == 0 {
		return err
	}
	view.Problem = sentence(err)
	return s.showUsers(w, r, v, status, view)
}
