package crash

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The test program is also the broker of its runs: with brokerEnv set it serves
// instead of testing, so that the broker is a process that can be killed.
const brokerEnv = "CLICKGATE_TEST_BROKER" // folder, control address, then listen=advertise for each node

func TestMain(m *testing.M) {
	if args := os.Getenv(brokerEnv); args != "" {
		fmt.Fprintln(os.Stderr, serveBroker(strings.Split(args, ",")))
		os.Exit(3)
	}
	status := m.Run()
	if sharedDir != "" {
		_ = os.RemoveAll(sharedDir)
	}
	os.Exit(max(status, exit))
}

// sharedDir holds what several tests need, such as programs; it goes with the last.
var sharedDir string

func shared() (string, error) {
	if sharedDir != "" {
		return sharedDir, nil
	}
	dir, err := os.MkdirTemp("", "clickgate-crash-")
	sharedDir = dir
	return dir, err
}

// exit is the exit status of a form that was run on its own.
var exit int

// fakeKafka is three brokers in one process that writes and syncs everything.
func fakeKafka() Kafka {
	return Kafka{Nodes: 3, Prepare: func(dir string, nodes []Node, free func() (int, error)) ([]func() *exec.Cmd, []string, error) {
		port, err := free()
		if err != nil {
			return nil, nil, err
		}
		args := []string{dir, loopback(port)}
		for _, n := range nodes {
			args = append(args, n.Listen+"="+n.Advertise)
		}
		return []func() *exec.Cmd{func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), brokerEnv+"="+strings.Join(args, ","))
			return cmd
		}}, []string{loopback(port)}, nil
	}}
}

// elsewhere is a listener that says it listens somewhere else.
type elsewhere struct {
	net.Listener
	addr net.Addr
}

func (l elsewhere) Addr() net.Addr { return l.addr }

// serveBroker serves until its process is killed.
func serveBroker(args []string) error {
	dir, control := args[0], args[1]
	advertised := make(map[string]string)
	var ports []int
	for _, node := range args[2:] {
		listen, advertise, _ := strings.Cut(node, "=")
		addr, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			return err
		}
		advertised[listen], ports = advertise, append(ports, addr.Port)
	}
	k, err := kfake.NewCluster(
		kfake.NumBrokers(len(ports)), kfake.Ports(ports...), kfake.DataDir(dir), kfake.SyncWrites(), kfake.ClusterID("crash"),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			ln, err := net.Listen(network, net.JoinHostPort("127.0.0.1", port))
			if err != nil {
				return nil, err
			}
			addr, err := net.ResolveTCPAddr("tcp", advertised[ln.Addr().String()])
			return elsewhere{ln, addr}, err
		}))
	if err != nil {
		return err
	}
	http.HandleFunc("POST /leaders", func(http.ResponseWriter, *http.Request) { k.ShufflePartitionLeaders() })
	http.HandleFunc("POST /refuse", func(http.ResponseWriter, *http.Request) {
		k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: 20})
	})
	http.HandleFunc("POST /doubt", func(http.ResponseWriter, *http.Request) {
		k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 30},
			kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend, Count: 30})
	})
	http.HandleFunc("POST /quorum", func(w http.ResponseWriter, r *http.Request) {
		lasts, err := time.ParseDuration(r.FormValue("for"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		lost := k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		time.AfterFunc(lasts, lost.Remove)
	})
	server := &http.Server{Addr: control, ReadHeaderTimeout: time.Second}
	return server.ListenAndServe()
}
