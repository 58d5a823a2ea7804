// Command clickgate is a fraud-aware ad-click ingestion gateway. Everything is
// in package command; here is what belongs to the process.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"os/user"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"clickgate/cmd/internal/command"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version string

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly stop; another one ends the process. It
	// must come a while later, because some senders signal a process and its
	// group, so that one Ctrl-C arrives twice.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	return command.Run(ctx, os.Args[1:], command.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(),
		Now: time.Now, Entropy: rand.Reader, User: userName(), Version: buildVersion(),
	})
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
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
