package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asProgram makes the test binary be the program.
const asProgram = "CLICKGATE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// program runs clickgate as a process of its own.
func program(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestProgram(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		"version":    {[]string{"version"}, 0, "clickgate ", ""},
		"nothing":    {nil, 2, "", "clickgate: expected one of"},
		"wrong":      {[]string{"config", "check", "--set", "log.level=loud"}, 1, "", "clickgate: log.level: \"loud\" is unknown"},
		"no store":   {[]string{"report", "billing"}, 3, "", "clickgate: store.sqlite: stat clickgate-data/clickgate.db: no such file"},
		"no brokers": {[]string{"aggregate"}, 2, "", "clickgate: kafka.brokers: is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := program(t, c.args...)
			if status != c.status || !strings.HasPrefix(stdout, c.stdout) || !strings.HasPrefix(stderr, c.stderr) || (c.stderr == "") != (stderr == "") {
				t.Errorf("status %d\n%s%s", status, stdout, stderr)
			}
		})
	}
}

// TestMasterKeyIsPrivate: whatever the umask, only the owner reads the key.
func TestMasterKeyIsPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "master.key")
	if status, stdout, stderr := program(t, "keys", "init", "--set", "keys.master_file="+path); status != 0 {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
