package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/console/auth"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"

	"golang.org/x/term"
)

type userGroup struct {
	Add     userAddCmd     `cmd:"" help:"Add a user. The password is asked for on a terminal, else read from standard input."`
	List    userListCmd    `cmd:"" help:"List users."`
	Disable userDisableCmd `cmd:"" help:"Disable a user; open sessions end."`
	Enable  userEnableCmd  `cmd:"" help:"Enable a disabled user."`
	Passwd  userPasswdCmd  `cmd:"" help:"Set a user's password, as add does; open sessions end."`
}

type userAddCmd struct {
	Name   string `arg:"" help:"Name to sign in with."`
	Role   string `help:"analyst, billing or admin." required:"" placeholder:"ROLE"`
	Tenant string `help:"The only tenant that the user sees, or * for all." required:"" placeholder:"ID"`
}

func (c *userAddCmd) Run(s *session) error {
	return s.withAccounts(func(a *auth.Accounts, by auth.Actor) error {
		password, err := s.password()
		if err != nil {
			return err
		}
		if err := a.Add(s.ctx, by, c.Name, c.Tenant, c.Role, password); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Stdout, "user %s is added\n", c.Name)
		return err
	})
}

type userListCmd struct{}

func (c *userListCmd) Run(s *session) error {
	return s.withAccounts(func(a *auth.Accounts, by auth.Actor) error {
		users, err := a.List(s.ctx, by)
		if err != nil {
			return err
		}
		return table(s.Stdout, "name\trole\ttenant\tstatus\tchanged\t", len(users), func(i int) []any {
			u, status := &users[i], "active"
			if u.Disabled {
				status = "disabled"
			}
			return []any{u.Name, u.Role, u.TenantID, status, time.UnixMicro(u.ChangedAt).UTC().Format(time.RFC3339)}
		})
	})
}

type userDisableCmd struct {
	Name string `arg:"" help:"The user."`
}

func (c *userDisableCmd) Run(s *session) error { return s.setDisabled(c.Name, true, "disabled") }

type userEnableCmd struct {
	Name string `arg:"" help:"The user."`
}

func (c *userEnableCmd) Run(s *session) error { return s.setDisabled(c.Name, false, "enabled") }

func (s *session) setDisabled(name string, disabled bool, done string) error {
	return s.withAccounts(func(a *auth.Accounts, by auth.Actor) error {
		if err := a.SetDisabled(s.ctx, by, name, disabled); err != nil {
			return err
		}
		_, err := fmt.Fprintf(s.Stdout, "user %s is %s\n", name, done)
		return err
	})
}

type userPasswdCmd struct {
	Name string `arg:"" help:"The user."`
}

func (c *userPasswdCmd) Run(s *session) error {
	return s.withAccounts(func(a *auth.Accounts, by auth.Actor) error {
		password, err := s.password()
		if err != nil {
			return err
		}
		if err := a.SetPassword(s.ctx, by, c.Name, password); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Stdout, "user %s has a new password\n", c.Name)
		return err
	})
}

// withAccounts opens the store, which a running console may have open too, and
// hands its users to f.
func (s *session) withAccounts(f func(*auth.Accounts, auth.Actor) error) error {
	cfg, err := s.load(config.ForStore)
	if err != nil {
		return err
	}
	store, err := openUsers(s.ctx, &cfg.Store)
	if err != nil {
		return err
	}
	by := auth.Actor{Name: "os:" + s.who(), TenantID: aggregate.AllTenants}
	err = f(auth.NewAccounts(store, auth.DefaultParams(), s.Entropy, s.Now), by)
	for _, refused := range []error{
		aggregate.ErrNoUser, aggregate.ErrUserExists, aggregate.ErrUserChanged, auth.ErrName, auth.ErrTenant, auth.ErrRole, auth.ErrPassword,
	} {
		if errors.Is(err, refused) {
			err = negative(err)
			break
		}
	}
	return errors.Join(err, store.Close())
}

// openUsers opens a store for writing, but makes none: a user in a new file would
// be a user of nothing.
func openUsers(ctx context.Context, c *config.Store) (aggregate.Store, error) {
	if c.DSN == "" {
		r, err := openReports(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	store, err := app.OpenStore(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := store.CheckSchema(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// password asks for a password twice on a terminal, without showing it, and else
// reads one line of standard input. It is never an argument: those are seen by
// everybody on the machine.
func (s *session) password() (string, error) {
	if f, ok := s.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return s.askPassword(int(f.Fd()))
	}
	if s.Stdin == nil {
		return "", usage(errors.New("password: there is no standard input; write it as one line"))
	}
	line, err := bufio.NewReader(io.LimitReader(s.Stdin, auth.MaxPassword+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("password: cannot read standard input: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

func (s *session) askPassword(fd int) (string, error) {
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Again: "} {
		fmt.Fprint(s.Stderr, prompt)
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(s.Stderr)
		if err != nil {
			return "", fmt.Errorf("password: cannot read the terminal: %w", err)
		}
		typed[i] = string(b)
	}
	if typed[0] != typed[1] {
		return "", negative(errors.New("password: the two differ; nothing was changed"))
	}
	return typed[0], nil
}
