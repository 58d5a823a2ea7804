package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/console/auth"

	"github.com/alexedwards/scs/v2"
)

// maxSessions bounds what sessions take of memory.
const maxSessions = 4096

// Keys of a session.
const (
	keyUser    = "user"
	keyVersion = "version"
	keyFlash   = "flash" // shown once on the next page
)

// visit is a request of somebody: of a user, or of nobody yet.
type visit struct {
	user  *aggregate.User // nil: not signed in
	role  auth.Roles
	actor auth.Actor
	desk
}

// newSessions makes the manager by hand: scs.New starts a goroutine that nothing
// ends. Its clock is the machine's, and so is that of the store below it.
func (s *Server) newSessions() *scs.SessionManager {
	m := &scs.SessionManager{
		Store: auth.NewSessions(maxSessions, time.Now), HashTokenInStore: true, Codec: scs.GobCodec{},
		Lifetime: s.cfg.SessionLifetime, IdleTimeout: s.cfg.IdleTimeout,
		ErrorFunc: func(w http.ResponseWriter, r *http.Request, err error) { s.fail(w, r, nil, err) },
		// Not Persist: the cookie ends with the browser.
		Cookie: scs.SessionCookie{Name: "clickgate_session", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode},
	}
	if s.cfg.secure() {
		m.Cookie.Name, m.Cookie.Secure = "__Host-clickgate_session", true
	}
	return m
}

// peek loads the session and never writes it, so that a page that refreshes
// itself does not keep a session alive that nobody uses.
func (s *Server) peek(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := ""
		if c, err := r.Cookie(s.sessions.Cookie.Name); err == nil {
			token = c.Value
		}
		ctx, err := s.sessions.Load(r.Context(), token)
		if err != nil {
			s.fail(w, r, nil, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// errSignIn asks to sign in.
var errSignIn = errors.New("sign in first")

// admit returns the visit of a request, or says why it may not use the route.
func (s *Server) admit(r *http.Request, rt *route) (*visit, error) {
	v, err := s.visitor(r)
	switch {
	case err != nil:
		return nil, err
	case rt.open:
		return v, nil
	case v.user == nil:
		return v, errSignIn
	case !rt.roles.Has(v.role):
		return v, &problem{http.StatusForbidden, fmt.Sprintf("this page is for %s; your role is %s", rt.roles, v.role)}
	}
	return v, nil
}

// visitor finds out who asks. A session of a user who was changed or disabled
// since is a session no more.
func (s *Server) visitor(r *http.Request) (*visit, error) {
	v := &visit{actor: auth.Actor{From: remote(r)}}
	name := s.sessions.GetString(r.Context(), keyUser)
	if name == "" {
		return v, nil
	}
	u, err := s.accounts.Current(r.Context(), name, s.sessions.GetInt64(r.Context(), keyVersion))
	if errors.Is(err, auth.ErrRefused) {
		return v, s.sessions.Destroy(r.Context())
	}
	if err != nil {
		return nil, err
	}
	role, known := auth.ParseRole(u.Role)
	if !known || u.TenantID == "" {
		return v, nil // of a newer version, or of a broken row: no rights at all
	}
	v.user, v.role, v.actor = u, role, auth.ActorOf(u, v.actor.From)
	v.desk = desk{store: s.dep.Store, tenant: u.TenantID}
	if u.TenantID == aggregate.AllTenants {
		v.tenant = ""
	}
	return v, nil
}

// open begins a session under a token of its own, so that one from before, which
// others may know, is worth nothing.
func (s *Server) open(r *http.Request, u *aggregate.User) error {
	if err := s.sessions.Clear(r.Context()); err != nil {
		return err
	}
	if err := s.sessions.RenewToken(r.Context()); err != nil {
		return err
	}
	s.sessions.Put(r.Context(), keyUser, u.Name)
	s.sessions.Put(r.Context(), keyVersion, u.Version)
	return nil
}

// askToSignIn sends a page to the login and back, and everything else away.
func (s *Server) askToSignIn(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("HX-Request") != "" {
		w.Header().Set("HX-Redirect", "/login")
	} else if r.Method == http.MethodGet || r.Method == http.MethodHead {
		target := "/login"
		if next := r.URL.RequestURI(); next != "/" && localPath(next) {
			target += "?next=" + url.QueryEscape(next)
		}
		http.Redirect(w, r, target, http.StatusSeeOther)
		return
	}
	s.fail(w, r, nil, &problem{http.StatusForbidden, "your session is over; sign in again"})
}

// localPath reports whether a text is a path of this console, and no way to
// another site.
func localPath(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= maxParameter && strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") &&
		!strings.ContainsAny(text, "\\\r\n\t") && u.Host == "" && u.Scheme == ""
}

// remote is the address of the client, or of the proxy before the console.
func remote(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr().Unmap()
}

// linkLife is how long a one-time link opens.
const linkLife = 10 * time.Minute

// links are the one-time links that were not used yet: at most one, the newest.
type links struct {
	now     func() time.Time
	entropy io.Reader

	mu     sync.Mutex
	user   string
	digest [sha256.Size]byte
	until  time.Time
}

// make returns the token of a new link for a user.
func (l *links) make(user string) (string, error) {
	secret := make([]byte, 32)
	if _, err := io.ReadFull(l.entropy, secret); err != nil {
		return "", fmt.Errorf("console: cannot draw a login link: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString(secret)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.user, l.digest, l.until = user, sha256.Sum256([]byte(token)), l.now().Add(linkLife)
	return token, nil
}

// find returns the user of a token; use makes it the last time.
func (l *links) find(token string, use bool) (user string, ok bool) {
	digest := sha256.Sum256([]byte(token))
	l.mu.Lock()
	defer l.mu.Unlock()
	user = l.user
	ok = user != "" && subtle.ConstantTimeCompare(digest[:], l.digest[:]) == 1 && l.now().Before(l.until)
	if ok && use {
		l.user = ""
	}
	return user, ok
}

// LoginLink returns the address under which a user signs in without a password,
// once and within ten minutes. It takes the place of an earlier one.
func (s *Server) LoginLink(user string) (string, error) {
	token, err := s.links.make(user)
	if err != nil {
		return "", err
	}
	return s.URL() + "/login?once=" + token, nil
}
