package esnode

import (
	"context"
	"errors"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/metadata"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/groups"
)

// Read implements persistent.PersistentSubscriptionsServer: one consumer of a group. It ends when the
// client cancels or closes its side, or the group drops it.
func (s *persistentService) Read(call persistent.PersistentSubscriptions_ReadServer) error {
	first, err := call.Recv()
	if err != nil {
		return invalid("a consumer begins with its options")
	}
	o := first.GetOptions()
	if o == nil {
		return invalid("a consumer begins with its options")
	}
	key, err := readKey(o.GetStreamIdentifier(), o.GetAll(), o.GetGroupName())
	if err != nil {
		return err
	}
	if o.GetBufferSize() <= 0 {
		return invalid("the buffer size must be positive")
	}
	r := s.node.groups.find(key)
	if r == nil {
		return groupMissing(key.stream, key.group)
	}
	ctx, cancel := context.WithCancel(call.Context())
	defer cancel()
	c, err := r.connect(ctx, connectionName(ctx), int(o.GetBufferSize()))
	if errors.Is(err, errGroupGone) {
		return groupMissing(key.stream, key.group)
	} else if err != nil {
		return err
	}
	defer r.disconnect(c)
	go func() {
		defer cancel()
		receive(ctx, call, r)
	}()
	err = call.Send(&persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: key.subscription()}}})
	if err != nil {
		return err
	}
	_, text := o.GetUuidOption().GetContent().(*persistent.ReadReq_Options_UUIDOption_String_)
	return s.deliver(ctx, call, c, key, text)
}

func connectionName(ctx context.Context) string {
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		if names := md.Get("connection-name"); len(names) > 0 && names[0] != "" {
			return names[0]
		}
	}
	return "<unknown>"
}

// receive passes acknowledgements on until the client's side ends.
func receive(ctx context.Context, call persistent.PersistentSubscriptions_ReadServer, r *runner) {
	for {
		req, err := call.Recv()
		if err != nil {
			return
		}
		var in input
		var ids []*shared.UUID
		switch c := req.GetContent().(type) {
		case *persistent.ReadReq_Ack_:
			ids = c.Ack.GetIds()
		case *persistent.ReadReq_Nack_:
			in.nack, in.action, in.reason = true, groups.Action(c.Nack.GetAction()), shortened(c.Nack.GetReason())
			ids = c.Nack.GetIds()
		default:
			return // options come once
		}
		in.ids = make([][16]byte, 0, len(ids))
		for _, u := range ids {
			if id, err := readUUID(u); err == nil {
				in.ids = append(in.ids, id)
			}
		}
		if r.tell(ctx, in) != nil {
			return
		}
	}
}

// maxReason bounds what is kept of why a message was not processed, in bytes: each parked message has a copy.
const maxReason = 4 << 10

func shortened(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:maxReason], "") // the cut may be within a character
}

// deliver sends what the group hands out until the call ends or the group drops the consumer.
func (s *persistentService) deliver(ctx context.Context, call persistent.PersistentSubscriptions_ReadServer, c *consumer, key groupKey, text bool) error {
	var queue []groups.Delivery
	w := eventWriter{text: text}
	for {
		select {
		case <-c.ready:
		case <-c.drop:
			return s.dropped(key)
		case <-ctx.Done():
			return call.Context().Err() // nil if only the client's side ended
		}
		queue = c.take(queue)
		for _, d := range queue {
			if err := call.Send(w.deliveryResp(d)); err != nil {
				return err
			}
		}
	}
}

func (s *persistentService) dropped(key groupKey) error {
	if s.node.life.Err() != nil {
		return errStopping
	}
	return groupDropped(key.stream, key.group)
}
