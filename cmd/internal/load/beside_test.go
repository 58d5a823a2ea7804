package load

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/durable"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// roleVariable holds the settings of the processes below.
const roleVariable = "CLICKGATE_OVERLOAD_ROLE"

// roleSettings say what a process is: a broker in memory, one of References, or "acked",
// a net/http server that answers when Brokers have the click.
type roleSettings struct {
	Kind    string
	Brokers []string
}

// TestOverloadRole is no test: it is a process beside the measured gateway. It serves
// until its standard input ends.
func TestOverloadRole(t *testing.T) {
	text := os.Getenv(roleVariable)
	if text == "" {
		t.Skip("this is a process of the measurements beside bare servers, which start it themselves")
	}
	var set roleSettings
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		t.Fatal(err)
	}
	if set.Kind == "broker" {
		kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, stream.ClicksTopic))
		if err != nil {
			t.Fatal(err)
		}
		defer kafka.Close()
		fmt.Printf("serving %s\n", kafka.ListenAddrs()[0])
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		if set.Kind == "acked" {
			ended <- serveAcked(ctx, set.Brokers, ln)
		} else {
			ended <- ServeReference(ctx, set.Kind, ln)
		}
	}()
	fmt.Printf("serving %s\n", ln.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// serveAcked is the plainest net/http server that may answer for a click: it reads the
// request's fields, gives it an id, writes a record and answers 204 once all brokers have
// it. It opens no token, admits, scores and seals nothing.
func serveAcked(ctx context.Context, brokers []string, ln net.Listener) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerLinger(0), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(stream.ClicksTopic), kgo.MaxBufferedRecords(10_000))
	if err != nil {
		return err
	}
	defer client.Close()
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		c := click.Click{ReceivedAt: time.Now().UnixMicro(), SourceID: q.Get("s"), CampaignID: q.Get("cid"), PublisherID: q.Get("pub")}
		c.RefererHost, c.Evidence = r.Referer(), []byte(r.UserAgent()+"\n"+r.Header.Get("Accept-Language")+"\n"+r.RemoteAddr)
		if _, err := rand.Read(c.EventID[:]); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		record := &kgo.Record{Key: c.EventID[:], Value: click.AppendClick(nil, &c)}
		if err := client.ProduceSync(r.Context(), record).FirstErr(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(ln); ctx.Err() == nil {
		return err
	}
	return nil
}

// TestEdgeBesideBare prints what an acknowledged click costs a gateway that hands over
// to a broker, beside servers that do less: by turns, each in a process of its own on
// one core, broker and generator on another. Without -overload.full it runs for a
// moment and checks that all of them were measured.
func TestEdgeBesideBare(t *testing.T) {
	rounds, lasts, counts := 1, time.Second, []int{8}
	if *fullOverload {
		rounds, lasts, counts = 5, 2*time.Second, []int{64, 256}
	}
	broker := startChild(t, "TestOverloadRole", roleVariable, roleSettings{Kind: "broker"}, 1)
	gateway := startMeasured(t, edgeSettings{First: durable.KafkaFirst, Brokers: broker.said[:1]})
	servers := []Server{{"clickgate, to Kafka", gateway.target, gateway.pid}}
	for _, s := range []struct{ name, kind string }{
		{"net/http, to Kafka", "acked"}, {"net/http, bare", "nethttp"}, {"fasthttp, bare", "fasthttp"},
	} {
		c := startChild(t, "TestOverloadRole", roleVariable, roleSettings{s.kind, broker.said[:1]}, 0)
		servers = append(servers, Server{s.name, c.target(t), c.pid})
	}
	for _, n := range counts {
		c := &Comparison{Base: gateway.load(Mix{Paid: 1, Organic: 9}, n), Servers: servers, Rounds: rounds, For: lasts, High: .7, Low: .05, OpenConnections: 4 * n}
		all, err := Compare(t.Context(), c, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var table strings.Builder
		if err := WriteCompared(&table, c, all); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%d connections:\n%s\n", n, table.String())
		for _, s := range all {
			if s.Capacity < 10 || s.CPU <= 0 {
				t.Errorf("%s: nothing was measured: %+v", s.Name, s)
			}
		}
	}
}
