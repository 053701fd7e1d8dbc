package readmodels

import (
	"fmt"

	"github.com/tidemark-dev/tidemark/domain"
)

// StoreUnavailable is how every document store says that nothing was done.
func StoreUnavailable(cause error) error {
	return &domain.Error{Kind: domain.KindUnavailable, Code: "read_store_unavailable", Message: "The read store is not available.", Err: cause}
}

// StoreUnknown is how every document store says that nobody knows whether a write was done.
func StoreUnknown(cause error) error {
	return &domain.Error{Kind: domain.KindUnknown, Code: "outcome_unknown", Message: "The read store did not say whether it was done.", Err: cause}
}

// CollectionMissing is how every document store answers to a write into a collection that is not there.
func CollectionMissing(name string) error {
	return &domain.Error{
		Kind: domain.KindUnavailable, Code: "collection_missing", Message: "The read model is being made or was dropped.",
		Err: fmt.Errorf("there is no collection %s", name),
	}
}
