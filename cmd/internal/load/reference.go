package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/valyala/fasthttp"
)

// References are servers that answer every request 204 and keep nothing: what
// HTTP alone costs on this machine, beside which a gateway is measured.
var References = []string{"fasthttp", "nethttp"}

// ServeReference serves one of References until ctx ends.
func ServeReference(ctx context.Context, kind string, ln net.Listener) error {
	serve, stop := referenceServer(kind)
	if serve == nil {
		return fmt.Errorf("reference: %q is unknown; use one of %v", kind, References)
	}
	defer context.AfterFunc(ctx, func() { _ = stop() })()
	err := serve(ln)
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func referenceServer(kind string) (serve func(net.Listener) error, stop func() error) {
	switch kind {
	case "fasthttp":
		s := &fasthttp.Server{
			Handler:               func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusNoContent) },
			NoDefaultServerHeader: true, NoDefaultContentType: true, CloseOnShutdown: true,
		}
		return s.Serve, s.Shutdown
	case "nethttp":
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })}
		return s.Serve, s.Close
	}
	return nil, nil
}
