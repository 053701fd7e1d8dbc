// Command tidemark is the one program: it serves the API, runs the workers and the embedded node, and
// does what operators need.
package main

func main() {}
