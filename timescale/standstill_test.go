package timescale

import (
	"testing"
	"time"

	"clickgate/aggregate"
)

// TestStandstill: a process that stands still inside a transaction does not keep its
// partition from the next owner, and writes nothing when it comes back.
func TestStandstill(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	s.begin = beginStanding(300 * time.Millisecond)
	p := aggregate.Partition{ClusterID: "c", TopicID: [16]byte{1}, Topic: "clicks.v1"}
	first, err := s.Claim(t.Context(), p, "standing still")
	if err != nil {
		t.Fatal(err)
	}
	holds, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- s.InTx(t.Context(), func(tx aggregate.Tx) error {
			err := tx.Advance(t.Context(), p, first.Fence, 0, 10)
			close(holds)
			<-goOn
			return err
		})
	}()
	<-holds
	second, err := s.Claim(t.Context(), p, "next")
	if err != nil || second.Fence <= first.Fence || second.Next != 0 {
		t.Errorf("claim %+v, %v; want a newer fence at offset 0", second, err)
	}
	close(goOn)
	if err := <-ended; err == nil {
		t.Error("the transaction that stood still was committed")
	}
	if next, err := s.StoredThrough(t.Context(), p.ClusterID, p.TopicID); err != nil || next[0] != 0 {
		t.Errorf("stored through %v, %v; want nothing", next, err)
	}
}
