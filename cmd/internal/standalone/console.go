package standalone

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/console"
	"clickgate/alerts/console/auth"
	"clickgate/cmd/internal/report"

	"github.com/prometheus/client_golang/prometheus"
)

// The first user, and the file in the data folder that holds the password.
const (
	firstUser    = "admin"
	passwordName = "console-password"
)

// startConsole serves the console from the store that the aggregator writes. What
// it offers for download is what `clickgate report billing` writes.
func (s *process) startConsole(ctx context.Context, reg prometheus.Registerer) (err error) {
	if s.cfg.Console.Listen == "" {
		return nil
	}
	s.console, err = console.New(s.cfg.Console, console.Dependencies{
		Store: s.aggregator.Store,
		Decide: func(ctx context.Context, r aggregate.DecisionRequest) (aggregate.Decided, error) {
			return aggregate.Decide(ctx, s.aggregator.Store, r)
		},
		Amount:      report.Amount,
		Verdict:     report.Verdict,
		BillingCSV:  billingAs(report.CSV),
		BillingJSON: billingAs(report.JSON),
		Entropy:     rand.Reader,
		Now:         time.Now, Logger: s.opt.Logger, Registerer: reg,
	})
	if err != nil {
		return err
	}
	if s.consoleNew, err = s.addFirstUser(ctx); err != nil {
		return err
	}
	return s.console.Start()
}

func billingAs(format report.Format) func(io.Writer, []aggregate.BillingRow) error {
	return func(w io.Writer, rows []aggregate.BillingRow) error { return report.Billing(w, rows, format) }
}

// addFirstUser makes an administrator with a drawn password where there is no user
// at all, and reports whether it did. The password is on disk before the user is in
// the store, so that no crash leaves a user whom nobody can sign in as.
func (s *process) addFirstUser(ctx context.Context) (made bool, err error) {
	users, err := s.aggregator.Store.ListUsers(ctx, "")
	if err != nil || len(users) > 0 {
		return false, err
	}
	password, err := auth.NewPassword(rand.Reader)
	if err != nil {
		return false, err
	}
	if err := writeSecret(s.passwordFile(), password+"\n"); err != nil {
		return false, fmt.Errorf("console: %w; name a data folder that can be written with --data", err)
	}
	by := auth.Actor{Name: "os:standalone", TenantID: aggregate.AllTenants}
	err = s.console.Accounts().Add(ctx, by, firstUser, aggregate.AllTenants, "admin", password)
	if errors.Is(err, aggregate.ErrUserExists) { // of another process with this store
		return false, nil
	}
	return err == nil, err
}

func (s *process) passwordFile() string { return filepath.Join(s.opt.Dir, passwordName) }

// writeSecret puts a new file in the place of an old one, readable by its owner
// alone from the beginning.
func writeSecret(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), passwordName+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// announceConsole prints where the console is and, at the first start, the link
// that opens it.
func (s *process) announceConsole(w io.Writer) error {
	_, kept := os.Stat(s.passwordFile())
	switch {
	case s.consoleNew:
		link, err := s.console.LoginLink(firstUser)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  console  %s  (signs in %s, once, within 10 minutes)\n", link, firstUser)
		fmt.Fprintf(w, "           later: user %s, password in %s\n", firstUser, s.passwordFile())
	case kept == nil:
		fmt.Fprintf(w, "  console  %s  (first user: %s, first password in %s)\n", s.console.URL(), firstUser, s.passwordFile())
	default:
		fmt.Fprintf(w, "  console  %s\n", s.console.URL())
	}
	return nil
}
