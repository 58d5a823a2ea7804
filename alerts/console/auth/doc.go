// Package auth is who may do what in the console: local users with argon2id
// hashes, roles, limits on guessing, and sessions. It keeps users in the store and
// sessions in memory.
//
// Sessions are in memory because there is one console process, because nothing
// that opens the console then lies on a disk or in a backup, and because a request
// does not cost the store a write. A restart signs everybody out.
package auth
