package httpapi

func (s *Server) operationHandlers() map[string]handler { return nil }

// Models administers read models.
type Models interface{}
