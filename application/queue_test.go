package application

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/tidemark-dev/tidemark/domain"
)

func TestQueueServesInTheOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(100)
		leave, waited, err := q.enter(t.Context(), "s")
		if err != nil || waited {
			t.Fatal(waited, err)
		}
		var served []int
		for i := range 50 {
			go func() {
				leave, _, err := q.enter(t.Context(), "s")
				if err != nil {
					t.Error(err)
					return
				}
				served = append(served, i) // no lock: the queue is the lock
				leave(nil)
			}()
			synctest.Wait()
		}
		leave(nil)
		synctest.Wait()
		want := make([]int, 50)
		for i := range want {
			want[i] = i
		}
		if diff := cmp.Diff(want, served); diff != "" {
			t.Error(diff)
		}
		if len(q.streams) != 0 {
			t.Errorf("%d streams are still known", len(q.streams))
		}
	})
}

func TestQueueIsBoundedAndStreamsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		leave, _, _ := q.enter(t.Context(), "s")
		go func() {
			if leave, _, err := q.enter(t.Context(), "s"); err == nil {
				leave(nil)
			}
		}()
		synctest.Wait()
		_, _, err := q.enter(t.Context(), "s")
		if domain.KindOf(err) != domain.KindUnavailable || domain.CodeOf(err) != "overloaded" {
			t.Errorf("one too many: %v", err)
		}
		other, waited, err := q.enter(t.Context(), "t")
		if err != nil || waited {
			t.Errorf("another stream: %v, %v", waited, err)
		}
		other(nil)
		leave(nil)
	})
}

func TestQueueForgetsWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10)
		leave, _, _ := q.enter(t.Context(), "s")
		impatient, giveUp := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, _, err := q.enter(impatient, "s")
			failed <- err
		}()
		synctest.Wait()
		giveUp()
		if err := <-failed; domain.KindOf(err) != domain.KindUnavailable {
			t.Errorf("gave up with %v", err)
		}
		leave(nil)
		if len(q.streams) != 0 {
			t.Error("the stream is still taken")
		}
	})
}

func TestQueueTellsThoseBehindOfASilentStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10)
		leave, _, _ := q.enter(t.Context(), "s")
		failed := make(chan error, 3)
		for range 3 {
			go func() {
				_, _, err := q.enter(t.Context(), "s")
				failed <- err
			}()
		}
		synctest.Wait()
		silent := errors.New("silent")
		leave(silent)
		for range 3 {
			if err := <-failed; !errors.Is(err, silent) {
				t.Errorf("got %v", err)
			}
		}
		leave, waited, err := q.enter(t.Context(), "s")
		if err != nil || waited {
			t.Fatalf("afterwards: %v, %v", waited, err)
		}
		leave(nil)
	})
}
