package demo

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"clickgate/gateway/control"
	"clickgate/gateway/token"
)

// Names in the demo's control file.
const (
	Tenant      = "demo"
	OtherTenant = "other"
	LogSource   = "adserver"
	LogCampaign = "acme-log"
	KeyName     = "demo-api.key" // beside the control file

	paidCampaign  = "acme-spring"
	testCampaign  = "acme-test"
	otherCampaign = "bikes-winter"
)

//go:embed control.yaml.tmpl
var controlText string

var controlTemplate = template.Must(template.New("control").Parse(controlText))

// Control returns a control file with fresh secrets, and the API key of which it
// holds the hash.
func Control(entropy io.Reader) (file []byte, apiKey string, err error) {
	var secrets [3][32]byte
	for i := range secrets {
		if _, err := io.ReadFull(entropy, secrets[i][:]); err != nil {
			return nil, "", fmt.Errorf("demo: no random bytes for the keys: %w", err)
		}
	}
	apiKey = "cgk_" + base64.RawURLEncoding.EncodeToString(secrets[0][:])
	sum := sha256.Sum256([]byte(apiKey))
	var b bytes.Buffer
	err = controlTemplate.Execute(&b, map[string]string{
		"KeyFile":      KeyName,
		"APIKeySHA256": hex.EncodeToString(sum[:]),
		"TokenKey":     base64.StdEncoding.EncodeToString(secrets[1][:]),
		"OtherKey":     base64.StdEncoding.EncodeToString(secrets[2][:]),
	})
	return b.Bytes(), apiKey, err
}

// Setup is what the feed has to know of the control file.
type Setup struct {
	APIKey   string
	TokenKey *token.Key // of tenant demo
	OtherKey *token.Key // of tenant other
	Created  bool       // the control file is new
}

// Prepare returns the setup of an earlier demo whose control file is at path, or
// writes a new one there, with the API key beside it; both only the owner can
// read. A control file that is no demo's is an error and stays as it is.
func Prepare(path string, entropy io.Reader) (*Setup, error) {
	keyPath := filepath.Join(filepath.Dir(path), KeyName)
	_, err := os.Stat(path)
	if err == nil {
		return load(path, keyPath)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("demo: %w", err)
	}
	file, key, err := Control(entropy)
	if err != nil {
		return nil, err
	}
	// The control file comes last: with it, the key is there too.
	if err := errors.Join(writeFile(keyPath, []byte(key+"\n")), writeFile(path, file)); err != nil {
		return nil, fmt.Errorf("demo: cannot write the control file and its key: %w", err)
	}
	s, err := load(path, keyPath)
	if err == nil {
		s.Created = true
	}
	return s, err
}

func load(path, keyPath string) (*Setup, error) {
	snapshot, err := control.Load(path)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	notOurs := func(why string) error {
		return fmt.Errorf("demo: control file %s is no demo's: %s; start the demo in another data folder", path, why)
	}
	key, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, notOurs("the file " + KeyName + " is not beside it")
	}
	s := &Setup{APIKey: strings.TrimSpace(string(key))}
	k := snapshot.APIKey(s.APIKey)
	if k == nil || k.Source.Tenant.ID != Tenant || k.Source.ID != LogSource {
		return nil, notOurs("it does not know the API key in " + KeyName)
	}
	for id, dst := range map[string]**token.Key{Tenant: &s.TokenKey, OtherTenant: &s.OtherKey} {
		t := snapshot.Tenant(id)
		if t == nil || len(t.TokenKeys()) == 0 || !t.TokenKeys()[0].Retired.IsZero() {
			return nil, notOurs("tenant " + id + " has no live token key")
		}
		*dst = t.TokenKeys()[0]
	}
	return s, nil
}

// writeFile puts a whole file in place, readable by the owner only.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
