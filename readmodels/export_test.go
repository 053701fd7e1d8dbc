package readmodels

// NewMemory opens the store that questions about the past are answered from.
func NewMemory() Documents { return newMemory() }
