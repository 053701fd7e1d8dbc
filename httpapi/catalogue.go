package httpapi

import (
	"maps"
	"net/http"
	"slices"
)

// entry is a kind of problem: what a code means, in words for people.
type entry struct {
	status int
	title  string
	help   string // what it means and what to do
	retry  int    // seconds for Retry-After; 0: none
}

// catalogue is every problem that leaves the service, by code. Every failure goes out through it, and
// each code has a page at /docs/errors/<code>.
var catalogue = map[string]entry{
	// The request can't be read.
	"malformed_json":              {http.StatusBadRequest, "The body is not well-formed JSON", "The body must be one JSON value in UTF-8, without repeated keys, nothing behind it, nested at most 32 deep. For imports this holds for each line.", 0},
	"malformed_request":           {http.StatusBadRequest, "The request can't be read", "The request line, the query string or a header is not well-formed, or a body came with a method that takes none.", 0},
	"headers_too_large":           {http.StatusRequestHeaderFieldsTooLarge, "The headers are too large", "The request line and all headers together may have 64 KiB.", 0},
	"expectation_failed":          {http.StatusExpectationFailed, "The expectation is not known", "The only Expect that is understood is 100-continue.", 0},
	"transfer_coding_unsupported": {http.StatusNotImplemented, "The transfer coding is not known", "Bodies come with a Content-Length or in chunks.", 0},
	"http_version_unsupported":    {http.StatusHTTPVersionNotSupported, "The version of HTTP is not known", "HTTP/1.1 and HTTP/1.0 are.", 0},
	"tls_required":                {http.StatusBadRequest, "The request came without TLS", "This address takes https only.", 0},
	"invalid_tidemark":            {http.StatusBadRequest, "The tidemark is not one of ours", "Send the Tidemark header of an earlier answer as it was, or several joined by commas.", 0},
	"invalid_cursor":              {http.StatusBadRequest, "The cursor is not one of this list", "Send nextCursor as it was handed out, with the same path and filters, or start again without a cursor.", 0},
	// Who asks.
	"unauthenticated": {http.StatusUnauthorized, "A valid token is needed", "Send Authorization: Bearer <JWT>, signed by a key that the service knows, within its times, with the claims sub and role, and issuer and audience if the service demands them.", 0},
	"forbidden":       {http.StatusForbidden, "The role does not allow this", "The token is valid, but none of its roles may call this operation, or not in this way.", 0},
	// What is asked.
	"not_found":              {http.StatusNotFound, "There is no such thing", "The path, or the thing that it names, does not exist, or it is somebody else's.", 0},
	"method_not_allowed":     {http.StatusMethodNotAllowed, "The path has no such method", "The Allow header lists those it has.", 0},
	"body_too_large":         {http.StatusRequestEntityTooLarge, "The body is too large", "A body, or a line of an import, may have 1 MiB.", 0},
	"unsupported_media_type": {http.StatusUnsupportedMediaType, "The body has another format", "Bodies are application/json in UTF-8, uncompressed; imports are application/x-ndjson.", 0},
	"invalid_request":        {http.StatusUnprocessableEntity, "The request has invalid content", "It can be read, but what it says is not valid whatever the state; errors lists every finding with a pointer to the place.", 0},
	"idempotency_key_reused": {http.StatusUnprocessableEntity, "The idempotency key was used for another request", "A key names one command: the same operation on the same thing with the same body. Take a new key.", 0},
	"as_of_too_expensive":    {http.StatusUnprocessableEntity, "The question about the past is too expensive", "The past of a list or a sum is folded from the whole log of its read model, up to a bound on events that detail names. Ask about one order, stock item, account or fulfilment: those read their own streams only.", 0},
	// The state says no.
	"order_not_open":        {http.StatusConflict, "The order is not open", "Lines change only before the order is confirmed.", 0},
	"order_empty":           {http.StatusConflict, "The order is empty", "An order needs a line to be confirmed.", 0},
	"invalid_transition":    {http.StatusConflict, "The order is in another status", "created → confirmed → prepared → shipped; cancelled from the first three.", 0},
	"item_not_in_order":     {http.StatusConflict, "The order has no such line", "Look at the order's items.", 0},
	"quantity_exceeds_line": {http.StatusConflict, "The line has fewer pieces", "Remove at most what the line has, or the whole line by leaving quantity out.", 0},
	"price_mismatch":        {http.StatusConflict, "The order has this SKU at another price", "Pieces added to a line carry the line's price.", 0},
	"too_many_lines":        {http.StatusConflict, "The order has as many lines as it may", "An order has at most 200 lines.", 0},
	"price_changed":         {http.StatusConflict, "The catalogue has another price", "Show the customer the current price and ask again with it.", 0},
	"product_exists":        {http.StatusConflict, "The SKU is in the catalogue already", "Change its price, or take another SKU.", 0},
	"product_withdrawn":     {http.StatusConflict, "The product is withdrawn", "It was taken out of the catalogue for good.", 0},
	"insufficient_stock":    {http.StatusConflict, "Too few pieces are available", "Available is on hand less reserved.", 0},
	"not_reserved":          {http.StatusConflict, "Nothing is reserved for this order", "There is no live reservation of this SKU for it.", 0},
	"insufficient_funds":    {http.StatusConflict, "The account does not cover this", "The balance may go down to minus the overdraft limit.", 0},
	"account_closed":        {http.StatusConflict, "The account is closed", "A closed account takes nothing.", 0},
	"currency_mismatch":     {http.StatusConflict, "The currency is another", "Accounts, orders and products have one currency each.", 0},
	"balance_not_zero":      {http.StatusConflict, "The balance is not zero", "An account closes at balance 0.", 0},
	"already_paid":          {http.StatusConflict, "The order is paid already", "There is one withdrawal for an order.", 0},
	"not_paid":              {http.StatusConflict, "The order was not paid from this account", "Only what was withdrawn for an order is credited for it.", 0},
	"fulfilment_ended":      {http.StatusConflict, "The fulfilment has ended", "There is nothing left to do for it.", 0},
	"nothing_to_resolve":    {http.StatusConflict, "Nothing hangs", "Only failed steps are resolved by hand.", 0},
	"refused":               {http.StatusConflict, "The state does not allow this", "detail says why.", 0},
	"revision_conflict":     {http.StatusConflict, "Somebody else kept writing first", "The service tried again several times. currentRevision is where the thing is now; the request may be repeated.", 0},
	"bookkeeping_conflict":  {http.StatusConflict, "Other processes kept changing the same record", "Try again.", 0},
	"job_ended":             {http.StatusConflict, "The job has ended", "There is nothing left to cancel.", 0},
	"not_ready":             {http.StatusConflict, "The new generation is not ready", "Rebuild first, and wait until it has caught up.", 0},
	"nothing_to_roll_back":  {http.StatusConflict, "There is no generation to go back to", "It is kept after a switch until it is dropped.", 0},
	"job_running":           {http.StatusConflict, "Such a job is running already", "Wait for it, or cancel it.", 0},
	"superseded":            {http.StatusConflict, "Another rebuild has replaced this generation", "Look at the read model: it has a newer one.", 0},
	"group_exists":          {http.StatusConflict, "There is such a group already", "Change its settings, reset it, or take another name.", 0},
	"strategy_unsupported":  {http.StatusConflict, "The group shares its events in a way that can't be kept", "Another client chose a strategy that this service has no word for. Name another consumerStrategy with the change.", 0},
	"replay_refused":        {http.StatusConflict, "The event store does not replay now", "A replay may be running already; look at the group.", 0},
	"revision_mismatch":     {http.StatusPreconditionFailed, "The thing is at another revision", "If-Match named a revision that is not the current one; currentRevision is. Read it again and decide anew.", 0},
	// Not now.
	"rate_limited":            {http.StatusTooManyRequests, "Too many requests", "Come back after Retry-After seconds.", 1},
	"overloaded":              {http.StatusServiceUnavailable, "The service is busy", "It refused before doing anything. Come back after Retry-After seconds.", 1},
	"stopping":                {http.StatusServiceUnavailable, "The service is stopping", "It refused before doing anything. Another instance, or this one once it is back, will answer.", 1},
	"timed_out":               {http.StatusServiceUnavailable, "The answer took too long", "Nothing was changed. Try again, or ask for less at once.", 1},
	"service_not_ready":       {http.StatusServiceUnavailable, "The service is not ready", "A dependency can't be reached or a read model is not live; callers with a role see which.", 1},
	"event_store_unavailable": {http.StatusServiceUnavailable, "The event store can't be reached", "Nothing was done. Come back after Retry-After seconds.", 1},
	"read_store_unavailable":  {http.StatusServiceUnavailable, "The read store can't be reached", "Lists need it; single things are answered from events. Come back after Retry-After seconds.", 1},
	"collection_missing":      {http.StatusServiceUnavailable, "The read model is being made", "Its documents are not there yet, or were dropped just now. Come back after Retry-After seconds.", 1},
	"stale_read_model":        {http.StatusServiceUnavailable, "The screen does not include the write yet", "state says why: lagging passes by itself; blocked needs an operator (tidemark readmodels blocked). Ask again after Retry-After seconds, with a longer Prefer: wait, or without the tidemark for an older answer.", 1},
	"undecodable_event":       {http.StatusServiceUnavailable, "An event can't be read by this release", "Nothing was done. The history of the thing has an event that this release does not know or that is damaged; the log says which, and a newer release may be able to read it. All else works.", 5},
	"outcome_unknown":         {http.StatusGatewayTimeout, "Nobody knows whether it was done", "The event store did not answer in time. Repeat the request with the same Idempotency-Key: it is done once at most.", 1},
	// Defects.
	"internal": {http.StatusInternalServerError, "Something went wrong here", "A defect of the service, not of the request. Its log has the requestId.", 0},
}

// codes lists the catalogue in order.
func codes() []string { return slices.Sorted(maps.Keys(catalogue)) }
