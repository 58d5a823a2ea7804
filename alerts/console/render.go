package console

import (
	"bytes"
	"embed"
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
type pages map[string]*template.Template

// view is what the layout shows.
type view struct {
	Title string
	Path  string // of the entry in the navigation; empty for none
	Live  bool   // refreshes itself
	Body  any
}

func parsePages(dep *Dependencies) (pages, error) {
	common, err := template.New("").Funcs(functions(dep)).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	p := pages{}
	for _, name := range []string{"live", "billing", "reconcile", "trace", "problem"} {
		t, err := common.Clone()
		if err == nil {
			_, err = t.ParseFS(templateFiles, "templates/"+name+".html")
		}
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		p[name] = t
	}
	return p, nil
}

// write answers with a whole page, or with nothing and an error.
func (p pages) write(w http.ResponseWriter, status int, name string, v *view) error {
	return p.execute(w, status, name, "layout", v)
}

func (p pages) execute(w http.ResponseWriter, status int, name, part string, data any) error {
	var b bytes.Buffer
	if err := p[name].ExecuteTemplate(&b, part, data); err != nil {
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

var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func (s *Server) static(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	body, err := staticFiles.ReadFile("static/" + name)
	if err != nil {
		return &problem{http.StatusNotFound, "there is no such file"}
	}
	send(w, http.StatusOK, contentTypes[path.Ext(name)], body)
	return nil
}
