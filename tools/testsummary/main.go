// Command testsummary reads the events of `go test -json` from standard input
// and prints what a person wants to see of them: one line for a package that
// passes, everything about one that fails. Its closing lines count the tests and
// give each distinct reason for a skip with its number; the very last line is
// plain: N passed, N failed, N skipped.
//
// Flags: -closing FILE puts the closing lines into a file, so that other lines
// can come between; -v prints the output of every test.
//
// Exit status: 0, or 1 when no test ran or the input cannot be read. Failed tests
// are told by go test's own exit status.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	closing := flag.String("closing", "", "write the closing lines to this `file` instead of standard output")
	verbose := flag.Bool("v", false, "print the output of every test")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *closing, *verbose); err != nil {
		fmt.Fprintf(os.Stderr, "testsummary: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, stdout io.Writer, closing string, verbose bool) error {
	out := bufio.NewWriter(stdout)
	s := newSummary(out, verbose)
	readErr := s.read(in)
	if err := out.Flush(); err != nil {
		return err
	}
	if err := writeClosing(s, stdout, closing); err != nil {
		return err
	}
	if readErr != nil {
		return readErr
	}
	if s.passed+s.failed == 0 {
		return fmt.Errorf("no test ran (%d were skipped); check the packages and flags given", s.skipped)
	}
	return nil
}

func writeClosing(s *summary, stdout io.Writer, path string) error {
	if path == "" {
		_, err := io.WriteString(stdout, s.closing())
		return err
	}
	return os.WriteFile(path, []byte(s.closing()), 0o644)
}
