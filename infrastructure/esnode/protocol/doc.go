// Package protocol has the messages and services of the node that the official client's module does
// not ship: Operations and Monitoring, generated from the .proto files beside it.
package protocol

//go:generate protoc --proto_path=. --proto_path=$CLIENT_PROTOS --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative --go_opt=Mshared.proto=github.com/EventStore/EventStore-Client-Go/v4/protos/shared --go-grpc_opt=Mshared.proto=github.com/EventStore/EventStore-Client-Go/v4/protos/shared operations.proto monitoring.proto
