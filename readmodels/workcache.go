package readmodels

// workCache keeps documents decoded between batches for a builder, which writes the same ones again
// and again. It may be wrong about the store: a conditional write then fails and the document is read.
type workCache struct {
	most int
	byID map[string]*working
}

func newWorkCache(most int) *workCache {
	return &workCache{most: most, byID: make(map[string]*working)}
}

// take removes and gives the document; nil if it is not here.
func (c *workCache) take(id string) *working {
	if c == nil {
		return nil
	}
	w := c.byID[id]
	delete(c.byID, id)
	return w
}

// keep remembers the document as it has just been written.
func (c *workCache) keep(w *working, put Put) {
	if c == nil {
		return
	}
	for id := range c.byID { // any one goes
		if len(c.byID) < c.most {
			break
		}
		delete(c.byID, id)
	}
	c.byID[w.id] = &working{model: w.model, id: w.id, stored: put.Document.Version, base: put.Document.Body, reached: w.reached, state: w.state}
}
