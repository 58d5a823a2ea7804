package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// pages are the parsed templates, by name; each stands in the common layout.
type pages struct {
	byName map[string]*template.Template
	nav    []navEntry
}

// page is what the layout shows.
type page struct {
	Title string
	Path  string // of the entry in the navigation; empty for none
	Live  bool   // refreshes itself
	Flash string // message of what was just done
	Body  any

	// Of the visit; set by show.
	Nav  []navEntry
	User string // empty: not signed in
	Role string
	Of   string // tenant
}

// pageNames are the templates beside layout and parts.
var pageNames = []string{"live", "incidents", "incident", "billing", "reconcile", "trace", "review", "case", "hours", "statement", "users", "audit", "login", "password", "problem"}

func parsePages(dep *Dependencies) (p pages, err error) {
	assets, err := newAssets()
	if err != nil {
		return p, err
	}
	funcs := functions(dep)
	funcs["asset"] = assets.url
	common, err := template.New("").Funcs(funcs).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return p, fmt.Errorf("console: %w", err)
	}
	p.byName = map[string]*template.Template{}
	for _, name := range pageNames {
		t, err := common.Clone()
		if err == nil {
			_, err = t.ParseFS(templateFiles, "templates/"+name+".html")
		}
		if err != nil {
			return p, fmt.Errorf("console: %w", err)
		}
		p.byName[name] = t
	}
	return p, nil
}

// show answers with a whole page, or with nothing and an error. A visit of nobody,
// or none, has no navigation.
func (s *Server) show(w http.ResponseWriter, v *visit, status int, name string, p *page) error {
	if v != nil && v.user != nil {
		p.User, p.Role, p.Of = v.user.Name, v.role.String(), v.tenant
		for _, e := range s.pages.nav {
			if e.roles.Has(v.role) {
				e.Current = e.Path == p.Path
				p.Nav = append(p.Nav, e)
			}
		}
	}
	return s.pages.execute(w, status, name, "layout", p)
}

func (p *pages) execute(w http.ResponseWriter, status int, name, part string, data any) error {
	var b bytes.Buffer
	if err := p.byName[name].ExecuteTemplate(&b, part, data); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	send(w, status, "text/html; charset=utf-8", b.Bytes())
	return nil
}

// send writes an answer. A client that went away is not an error of ours.
func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// contentTypes are of the files that are served; others lie beside them.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}

// assets are the versions of static files: a part of their hash. A file is kept by
// browsers for as long as its address stays the same.
type assets map[string]string

func newAssets() (assets, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	a := assets{}
	for _, e := range entries {
		body, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		a[e.Name()] = version(body)
	}
	return a, nil
}

func version(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:6])
}

// url is the address of a file; an unknown one is an error of the template.
func (a assets) url(name string) (string, error) {
	v, ok := a[name]
	if !ok {
		return "", fmt.Errorf("there is no file static/%s", name)
	}
	return "/static/" + name + "?v=" + v, nil
}

func (s *Server) static(w http.ResponseWriter, r *http.Request, _ *visit) error {
	name := r.PathValue("name")
	contentType := contentTypes[path.Ext(name)]
	body, err := staticFiles.ReadFile("static/" + name)
	if err != nil || contentType == "" {
		return &problem{http.StatusNotFound, "there is no such file"}
	}
	if r.URL.RawQuery == "v="+version(body) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	send(w, http.StatusOK, contentType, body)
	return nil
}
