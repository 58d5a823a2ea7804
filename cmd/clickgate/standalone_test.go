package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStandaloneDemo runs the demo as a user would: clicks flow, Ctrl-C drains,
// the books balance, and the other commands find the folder by themselves.
func TestStandaloneDemo(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "standalone", "--demo", "--demo-speed", "4", "--data", data,
		"--set", "gateway.listen=127.0.0.1:0", "--set", "gateway.admin_listen=127.0.0.1:0",
		"--set", "console.listen=127.0.0.1:0", "--set", "gateway.batch.listen=127.0.0.1:0")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	giveUp := time.AfterFunc(3*time.Minute, func() { _ = cmd.Process.Kill() })
	defer giveUp.Stop()

	var all strings.Builder
	interrupted, balanced := false, false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		balanced = balanced || lines.Text() == "balanced"
		if !interrupted && receivedIn(lines.Text()) >= 20 {
			interrupted = true
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !interrupted || !balanced {
		t.Fatalf("%v, interrupted %v, balanced %v\n%s\n%s", err, interrupted, balanced, all.String(), errs.String())
	}

	if status, stdout, stderr := program(t, "report", "reconcile", "--data", data); status != 0 || !strings.HasSuffix(stdout, "\nbalanced\n") {
		t.Errorf("reconcile: status %d\n%s%s", status, stdout, stderr)
	}
	status, stdout, stderr := program(t, "report", "billing", "--format", "csv", "--data", data)
	if status != 0 || strings.Count(stdout, "\n") < 2 || !strings.Contains(stdout, ",provisional,EUR,") {
		t.Errorf("billing: status %d\n%s%s", status, stdout, stderr)
	}
	status, token, stderr := program(t, "token", "mint", "--data", data)
	if status != 0 || len(token) < 100 {
		t.Fatalf("mint: status %d\n%s%s", status, token, stderr)
	}
	if status, stdout, stderr := program(t, "token", "open", strings.TrimSpace(token), "--data", data); status != 0 || !strings.Contains(stdout, "live") {
		t.Errorf("open: status %d\n%s%s", status, stdout, stderr)
	}
}

// receivedIn reads the second column of a progress line, 0 for other lines.
func receivedIn(line string) int {
	cells := strings.Fields(line)
	if len(cells) < 10 || strings.Count(cells[0], ":") != 2 {
		return 0
	}
	n, err := strconv.Atoi(cells[1])
	if err != nil {
		return 0
	}
	return n
}
