package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a program that is started again whenever it ends, until it is told to
// end for good. Its output goes to one file over all its lives.
type process struct {
	name    string
	command func() *exec.Cmd
	log     *os.File
	ready   func(context.Context) bool // it serves

	mu       sync.Mutex
	cmd      *exec.Cmd // nil between lives
	killed   bool      // this life was ended by us
	ending   bool      // no further lives
	pause    time.Duration
	lives    int
	stumbles int // lives that ended by themselves
	last     error
	done     chan struct{} // closed after the last life
}

// stumblePause is the pause after a life that ended by itself.
const stumblePause = 300 * time.Millisecond

// stopPatience is how long an orderly end may take; then the process must write its
// stacks into its log, and die of it.
const stopPatience = 25 * time.Second

// launch starts the first life.
func launch(name, logFile string, command func() *exec.Cmd, ready func(context.Context) bool) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, command: command, log: log, ready: ready, done: make(chan struct{})}
	first := make(chan error, 1)
	go p.run(first)
	if err := <-first; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (p *process) run(first chan<- error) {
	defer close(p.done)
	defer func() { _ = p.log.Close() }()
	for {
		cmd := p.command()
		cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.log, p.log, orphans()
		p.mu.Lock()
		if p.ending {
			p.mu.Unlock()
			return
		}
		err := cmd.Start()
		if err == nil {
			p.cmd, p.killed = cmd, false
			p.lives++
		}
		p.mu.Unlock()
		if first != nil {
			first <- err
			if err != nil {
				return // the program is not there
			}
			first = nil
		}
		if err == nil {
			err = cmd.Wait()
		}
		p.mu.Lock()
		p.cmd, p.last = nil, err
		pause := p.pause
		if !p.killed && !p.ending {
			p.stumbles++
			pause = stumblePause
		}
		ending := p.ending
		p.mu.Unlock()
		if ending {
			return
		}
		time.Sleep(pause)
	}
}

// kill ends the present life at once; the next one begins after a pause. It reports
// whether there was one.
func (p *process) kill(pause time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	p.killed, p.pause = true, pause
	return p.cmd.Process.Signal(syscall.SIGKILL) == nil
}

// signal sends a signal to the present life.
func (p *process) signal(s os.Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil && p.cmd.Process.Signal(s) == nil
}

// pid of the present life, 0 between two.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// stop asks the process to end in order, and returns its exit error.
func (p *process) stop(ctx context.Context) error {
	p.mu.Lock()
	p.ending = true
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	p.mu.Unlock()
	stacks := time.AfterFunc(stopPatience, func() { p.signal(syscall.SIGQUIT) })
	defer stacks.Stop()
	select {
	case <-p.done:
		return p.last
	case <-ctx.Done():
		p.abort()
		return errors.New("did not end in order in time")
	}
}

// abort ends everything at once.
func (p *process) abort() {
	p.mu.Lock()
	p.ending = true
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
	}
	p.mu.Unlock()
	<-p.done
}

// awaitReady waits until the process serves.
func (p *process) awaitReady(ctx context.Context) error {
	for p.dying() || !p.ready(ctx) {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-p.done:
			return fmt.Errorf("%s has ended: %w", p.name, p.last)
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve in time; see %s", p.name, p.log.Name())
		}
	}
	return nil
}

// dying reports whether there is no life, or one that was killed and may still
// accept connections.
func (p *process) dying() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd == nil || p.killed
}

// counts returns how many lives there were, and how many ended by themselves.
func (p *process) counts() (lives, stumbles int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lives, p.stumbles
}
