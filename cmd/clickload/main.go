// Command clickload sends load to a clickgate gateway from a process of its own.
// Everything is in package load; here is what belongs to the process.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"clickgate/cmd/internal/load"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version string

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal cuts a run short and prints its report; another one, not
	// the echo of the first, ends the process.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	return load.Main(ctx, os.Args[1:], load.Env{
		Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(),
		Now: time.Now, Entropy: rand.Reader, Version: buildVersion(),
	})
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
