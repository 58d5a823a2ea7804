package gateway

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestAnswersAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers(&Limits{MaxAnswers: 10, MaxAnswerBytes: 1 << 20}, 24*time.Hour, time.Now)
		key, body := answerKey{"t", "s", "k"}, [32]byte{1}
		if state, _ := a.begin(key, body); state != replayNew {
			t.Fatal(state)
		}
		a.finish(key, []byte("one"))
		time.Sleep(24 * time.Hour)
		if state, got := a.begin(key, body); state != replayAnswer || string(got) != "one" {
			t.Errorf("after 24 h: %v %q", state, got)
		}
		time.Sleep(time.Nanosecond)
		if state, _ := a.begin(key, [32]byte{2}); state != replayNew {
			t.Errorf("after the time to live: %v", state)
		}
		if a.stored() != 0 || a.bytes != 0 {
			t.Errorf("%d answers, %d bytes", a.stored(), a.bytes)
		}
	})
}

func TestAnswersForgetTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	a := newAnswers(&Limits{MaxAnswers: 2, MaxAnswerBytes: 1 << 20}, time.Hour, time.Now)
	use := func(name string) replay {
		state, _ := a.begin(answerKey{"t", "s", name}, [32]byte{})
		if state == replayNew {
			a.finish(answerKey{"t", "s", name}, []byte(name))
		}
		return state
	}
	for i, tt := range []struct {
		name string
		want replay
	}{{"a", replayNew}, {"b", replayNew}, {"a", replayAnswer}, {"c", replayNew}, {"a", replayAnswer}, {"b", replayNew}} {
		if got := use(tt.name); got != tt.want {
			t.Errorf("step %d, %s: %v, want %v", i, tt.name, got, tt.want)
		}
	}
}

// Whatever happens, the memory keeps its bounds and its books, and never gives
// one request's answer to another.
func TestAnswersKeepTheirBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := newAnswers(&Limits{MaxAnswers: 4, MaxAnswerBytes: 2048}, time.Hour, time.Now)
		running := map[answerKey][32]byte{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := answerKey{"t", "s", fmt.Sprint(rapid.IntRange(0, 6).Draw(t, "key"))}
			body := [32]byte{byte(rapid.IntRange(0, 1).Draw(t, "body"))}
			if at, ok := running[key]; ok && rapid.Bool().Draw(t, "finish") {
				answer := append(bytes.Repeat([]byte{'x'}, rapid.IntRange(0, 900).Draw(t, "size")), key.key[0], at[0])
				if rapid.IntRange(0, 3).Draw(t, "fails") == 0 {
					answer = nil
				}
				a.finish(key, answer)
				delete(running, key)
				continue
			}
			state, answer := a.begin(key, body)
			at, busy := running[key]
			switch {
			case busy && state != replayInFlight && state != replayReused, busy && (state == replayReused) != (at != body):
				t.Fatalf("busy key: %v", state)
			case state == replayNew:
				running[key] = body
			case state == replayAnswer && (answer[len(answer)-2] != key.key[0] || answer[len(answer)-1] != body[0]):
				t.Fatal("another request's answer")
			}
			var sum int64
			for el := a.recent.Front(); el != nil; el = el.Next() {
				sum += el.Value.(*remembered).size()
			}
			if sum != a.bytes || a.recent.Len() > 4 || a.bytes > 2048 || len(a.byKey) != a.recent.Len()+len(running) {
				t.Fatalf("%d bytes booked, %d held, %d answers, %d keys, %d running", a.bytes, sum, a.recent.Len(), len(a.byKey), len(running))
			}
		}
	})
}
