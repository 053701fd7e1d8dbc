package readmodels

import (
	"encoding/json"
	"fmt"
	"slices"
)

// rowOf decodes a row.
func rowOf[R any](d Document) (R, error) {
	var row R
	if err := json.Unmarshal(d.Body, &row); err != nil {
		return row, fmt.Errorf("decode row %s: %w", d.ID, err)
	}
	return row, nil
}

// rowItem is listing.item of rows that are shown as they are stored.
func rowItem[R any](d Document, _ *Reader) (any, error) { return rowOf[R](d) }

func sortBy[T any](list []T, compare func(a, b T) int) { slices.SortFunc(list, compare) }
