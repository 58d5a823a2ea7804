package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"clickgate/alerts/console/auth"
)

// loginView is the login page.
type loginView struct {
	Next, Name string
	Once       string // token of a one-time link, and User whom it is for
	User       string
	Problem    string
}

func (s *Server) loginForm(w http.ResponseWriter, r *http.Request, v *visit) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	view := &loginView{Next: next(q), Once: q.Get("once")}
	if view.Once != "" {
		user, ok := s.links.find(view.Once, false)
		if !ok {
			return s.showLogin(w, http.StatusForbidden, &loginView{Problem: "This link was used already, or is older than ten minutes. Sign in with name and password."})
		}
		view.User = user
		return s.showLogin(w, http.StatusOK, view)
	}
	if v.user != nil {
		http.Redirect(w, r, view.Next, http.StatusSeeOther)
		return nil
	}
	return s.showLogin(w, http.StatusOK, view)
}

// next is where to go after the login: a path of the console.
func next(q url.Values) string {
	if path := q.Get("next"); localPath(path) {
		return path
	}
	return "/"
}

func (s *Server) showLogin(w http.ResponseWriter, status int, view *loginView) error {
	return s.show(w, nil, status, "login", &page{Title: "Sign in", Body: view})
}

func (s *Server) login(w http.ResponseWriter, r *http.Request, v *visit) error {
	form, err := postForm(r)
	if err != nil {
		return err
	}
	if once := form.Get("once"); once != "" {
		return s.loginByLink(w, r, v, once)
	}
	view := &loginView{Next: next(form), Name: form.Get("name")}
	u, err := s.accounts.SignIn(r.Context(), view.Name, form.Get("password"), v.actor.From)
	s.metrics.logins.WithLabelValues(outcome(err)).Inc()
	if status, told := signInStatus(w, err); told {
		view.Problem = sentence(err)
		return s.showLogin(w, status, view)
	}
	if err != nil {
		return err
	}
	if err := s.open(r, u); err != nil {
		return err
	}
	http.Redirect(w, r, view.Next, http.StatusSeeOther)
	return nil
}

func (s *Server) loginByLink(w http.ResponseWriter, r *http.Request, v *visit, once string) error {
	name, ok := s.links.find(once, true)
	if !ok {
		s.metrics.logins.WithLabelValues("refused").Inc()
		return s.showLogin(w, http.StatusForbidden, &loginView{Problem: "This link was used already, or is older than ten minutes. Sign in with name and password."})
	}
	u, err := s.accounts.ByLink(r.Context(), name, v.actor.From)
	s.metrics.logins.WithLabelValues(outcome(err)).Inc()
	if errors.Is(err, auth.ErrRefused) {
		return s.showLogin(w, http.StatusForbidden, &loginView{Problem: sentence(err)})
	}
	if err != nil {
		return err
	}
	if err := s.open(r, u); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// signInStatus is the status of an answer to a failed check of a password; told is
// false for no error and for errors of the store.
func signInStatus(w http.ResponseWriter, err error) (status int, told bool) {
	if delay, ok := errors.AsType[*auth.DelayError](err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(delay.Wait.Seconds())+1))
		return http.StatusTooManyRequests, true
	}
	switch {
	case errors.Is(err, auth.ErrRefused):
		return http.StatusForbidden, true
	case errors.Is(err, auth.ErrBusy):
		w.Header().Set("Retry-After", "5")
		return http.StatusServiceUnavailable, true
	}
	return 0, false
}

// outcome is a label of the metric.
func outcome(err error) string {
	_, delayed := errors.AsType[*auth.DelayError](err)
	switch {
	case err == nil:
		return "ok"
	case delayed:
		return "delayed"
	case errors.Is(err, auth.ErrRefused):
		return "refused"
	case errors.Is(err, auth.ErrBusy):
		return "busy"
	}
	return "error"
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	if err := s.accounts.SignedOut(r.Context(), v.actor); err != nil {
		return err
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// passwordView is the page of one's own password.
type passwordView struct {
	Name    string // for password managers
	Problem string
	Least   int
}

func (s *Server) passwordForm(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.showPassword(w, r, v, http.StatusOK, "")
}

func (s *Server) showPassword(w http.ResponseWriter, r *http.Request, v *visit, status int, problem string) error {
	p := &page{Title: "Password", Path: "/password", Body: &passwordView{v.user.Name, problem, auth.MinPassword}}
	p.Flash = s.sessions.PopString(r.Context(), keyFlash)
	return s.show(w, v, status, "password", p)
}

func (s *Server) changePassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	form, err := postForm(r)
	if err != nil {
		return err
	}
	if form.Get("new") != form.Get("again") {
		return s.showPassword(w, r, v, http.StatusBadRequest, "The new password and its repetition differ.")
	}
	u, err := s.accounts.ChangePassword(r.Context(), v.user, form.Get("old"), form.Get("new"), v.actor.From)
	if errors.Is(err, auth.ErrPassword) {
		return s.showPassword(w, r, v, http.StatusBadRequest, sentence(err))
	}
	if status, told := signInStatus(w, err); told {
		return s.showPassword(w, r, v, status, sentence(err))
	}
	if err != nil {
		return err
	}
	if err := s.open(r, u); err != nil {
		return err
	}
	s.sessions.Put(r.Context(), keyFlash, "Your password is changed. Your other sessions are over.")
	http.Redirect(w, r, "/password", http.StatusSeeOther)
	return nil
}

// postForm reads the body of a form, and nothing from the address.
func postForm(r *http.Request) (url.Values, error) {
	if err := r.ParseForm(); err != nil {
		return nil, &problem{http.StatusBadRequest, "the form cannot be read; send it from the console's own page"}
	}
	return r.PostForm, nil
}
