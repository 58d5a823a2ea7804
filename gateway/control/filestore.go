package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// FileStore is a control file that operators edit by command, with an audit file
// beside it. Commands exclude each other; who edits by hand is seen by Reload.
type FileStore struct {
	Path string
	Now  func() time.Time
}

// AuditSuffix names the audit file after the control file.
const AuditSuffix = ".audit"

// AuditLine is one change in the audit file, as JSON on a line. It is on disk
// before the change is: a line whose New is not the next one's Old was not carried
// out.
type AuditLine struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	Why    string    `json:"why"`
	Action string    `json:"action"`
	Tenant string    `json:"tenant,omitempty"` // empty when several may have changed
	Old    string    `json:"old"`              // Snapshot.Version of the file before, empty for none
	New    string    `json:"new"`
}

// FileState is the file at one moment.
type FileState struct {
	Content []byte
	File    *File
	Version string // Snapshot.Version
}

// Read returns the file's present state.
func (s *FileStore) Read() (*FileState, error) {
	content, err := os.ReadFile(s.Path)
	if err != nil {
		return nil, fmt.Errorf("control.file: %w; name an existing control file", err)
	}
	f, snapshot, err := ParseFile(content)
	if err != nil {
		return nil, fmt.Errorf("control file %s: %w", s.Path, err)
	}
	return &FileState{content, f, snapshot.Version}, nil
}

// Write replaces the file that base was read from; ErrChanged when it is another
// one by now.
func (s *FileStore) Write(base *FileState, content []byte, action, tenant string, m Meta) (*FileState, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if !m.ActivateAt.IsZero() {
		return nil, errors.New("a control file takes effect at once; plan changes in the control topic, with control.topic: true")
	}
	f, snapshot, err := ParseFile(content)
	if err != nil {
		return nil, err
	}
	audit, err := os.OpenFile(s.Path+AuditSuffix, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	defer func() { _ = audit.Close() }() // synced by append
	if err := lock(audit); err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	present, err := os.ReadFile(s.Path)
	if err != nil {
		return nil, fmt.Errorf("control.file: %w", err)
	}
	if !bytes.Equal(present, base.Content) {
		return nil, ErrChanged
	}
	line := AuditLine{s.Now().UTC(), m.Who, m.Why, action, tenant, base.Version, snapshot.Version}
	if err := s.append(audit, line); err != nil {
		return nil, fmt.Errorf("audit file: %w; nothing was changed", err)
	}
	if err := writeFile(s.Path, content); err != nil {
		return nil, fmt.Errorf("control file: %w", err)
	}
	return &FileState{content, f, snapshot.Version}, nil
}

func (s *FileStore) append(audit *os.File, line AuditLine) error {
	b, err := json.Marshal(&line)
	if err != nil {
		return err
	}
	if _, err := audit.Write(append(b, '\n')); err != nil {
		return err
	}
	return audit.Sync()
}

// Reload reads the file and accounts for edits by hand: where the last audit line
// does not end in this content, one is added. It returns the line that does.
func (s *FileStore) Reload() (*FileState, AuditLine, error) {
	audit, err := os.OpenFile(s.Path+AuditSuffix, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, AuditLine{}, fmt.Errorf("audit file: %w", err)
	}
	defer func() { _ = audit.Close() }() // synced by append
	if err := lock(audit); err != nil {
		return nil, AuditLine{}, fmt.Errorf("audit file: %w", err)
	}
	state, err := s.Read() // under the lock: not between a command's audit line and its change
	if err != nil {
		return nil, AuditLine{}, err
	}
	lines, err := readAudit(audit)
	if err != nil {
		return nil, AuditLine{}, err
	}
	var last AuditLine
	if len(lines) > 0 {
		last = lines[len(lines)-1]
	}
	if last.New == state.Version {
		return state, last, nil
	}
	line := AuditLine{s.Now().UTC(), "unknown", "edited by hand", "found", "", last.New, state.Version}
	if line.Old == "" {
		line.Why = "seen for the first time"
	}
	if err := s.append(audit, line); err != nil {
		return nil, AuditLine{}, fmt.Errorf("audit file: %w", err)
	}
	return state, line, nil
}

// History returns the audit lines, oldest first; none when nothing was changed.
func (s *FileStore) History() ([]AuditLine, error) {
	f, err := os.Open(s.Path + AuditSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	defer func() { _ = f.Close() }() // opened for reading
	return readAudit(f)
}

func readAudit(r io.Reader) (lines []AuditLine, err error) {
	dec := json.NewDecoder(r)
	for {
		var l AuditLine
		if err := dec.Decode(&l); err == io.EOF {
			return lines, nil
		} else if err != nil {
			return lines, fmt.Errorf("audit file: line %d: %w", len(lines)+1, err)
		}
		lines = append(lines, l)
	}
}
