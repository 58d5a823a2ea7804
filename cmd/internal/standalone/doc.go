// Package standalone runs every stage of clickgate in one process, with embedded
// defaults: the spool is the durable log, an in-memory broker the transport, one
// SQLite file the store. The code path is the cluster's; kafka.brokers and
// store.dsn put the real parts in place of the embedded ones.
package standalone
