-- Layout 2, made from layout 1: what a device's session must not forget across a crash. A row is a
-- QoS 2 Packet Identifier that was seen and not yet released (`kind` qos2), or a Will that is still
-- to be published (will, `id` 0). `scope` is the listener or source it belongs to. `lived` is when
-- the row was last written, in lived time: rows nobody touched for long are deleted.
--
-- Six columns and no rowid: no other table's rows look like these (raw-pages.ts).

CREATE TABLE session (
  scope TEXT NOT NULL,
  client TEXT NOT NULL,
  kind TEXT NOT NULL,
  id INTEGER NOT NULL,
  lived INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (scope, client, kind, id)
) STRICT, WITHOUT ROWID;
