package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// standaloneArgs run a standalone on free ports.
func standaloneArgs(data string, more ...string) []string {
	return append([]string{"standalone", "--data", data,
		"--set", "gateway.listen=127.0.0.1:0",
		"--set", "gateway.admin_listen=127.0.0.1:0",
		"--set", "console.listen=127.0.0.1:0",
		"--set", "gateway.batch.listen=127.0.0.1:0",
	}, more...)
}

// process is a running standalone.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	edge  string // URL of the click listener
	admin string // URL of the admin listener
	logs  string // URL of the batch listener

	mu     sync.Mutex
	output strings.Builder
	errs   lockedBuffer
	read   chan struct{} // closed at the end of the output
}

// startStandalone starts a process and waits until it serves.
func startStandalone(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), read: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	serving := make(chan struct{})
	go p.follow(bufio.NewScanner(out), serving)
	select {
	case <-serving:
	case <-p.read:
		t.Fatalf("standalone ended before it served:\n%s\n%s", p.text(), p.errs.String())
	case <-time.After(3 * time.Minute):
		t.Fatalf("standalone does not serve:\n%s", p.text())
	}
	return p
}

func (p *process) follow(lines *bufio.Scanner, serving chan struct{}) {
	defer close(p.read)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		p.mu.Lock()
		p.output.WriteString(lines.Text() + "\n")
		if url, ok := strings.CutPrefix(line, "edge "); ok {
			p.edge = strings.TrimSpace(url)
		}
		if url, ok := strings.CutPrefix(line, "logs "); ok {
			p.logs, _, _ = strings.Cut(strings.TrimSpace(url), "/v1/raw")
		}
		if url, ok := strings.CutPrefix(line, "metrics "); ok {
			p.admin, _, _ = strings.Cut(strings.TrimSpace(url), "/metrics")
			close(serving)
		}
		p.mu.Unlock()
	}
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// kill ends the process at once, if it still runs.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		<-p.read
		_ = p.cmd.Wait()
	}
}

// interrupt is Ctrl-C; it returns the exit status after the drain.
func (p *process) interrupt() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.read:
	case <-time.After(3 * time.Minute):
		p.t.Fatalf("standalone does not end after Ctrl-C:\n%s", p.text())
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}
