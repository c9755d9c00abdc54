-- The buffer file, layout 1; schema-N.sql makes layout N from it. The log is `segment`; every lane
-- is one row of `cursor` on it. Bodies stand last in their rows, so that reading the columns before
-- them touches no overflow page. Times are milliseconds: `created` by the wall clock, `lived` by
-- the sum of monotonic time.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a frame's route id stands for; written in the commit of the first segment that uses it.
CREATE TABLE route (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  definition TEXT NOT NULL
) STRICT;

-- One commit. `routes` is [[route id, frames], …]; `bytes` is the body's length as appended (a
-- damaged segment leaves its row here with an empty body, so that every lane passes and counts it).
CREATE TABLE segment (
  sequence INTEGER PRIMARY KEY,
  first_frame INTEGER NOT NULL,
  frames INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  created INTEGER NOT NULL,
  lived INTEGER NOT NULL,
  routes TEXT NOT NULL,
  body BLOB NOT NULL
) STRICT;

-- `segment`, `frame`: the next frame to pass. `passed`: frames of this lane already passed in
-- `segment`. Always: appended = confirmed + … + sent_once + the lane's frames from here to the end.
CREATE TABLE cursor (
  lane TEXT PRIMARY KEY,
  upstream TEXT NOT NULL,
  delivery TEXT NOT NULL,
  segment INTEGER NOT NULL,
  frame INTEGER NOT NULL,
  passed INTEGER NOT NULL,
  appended INTEGER NOT NULL,
  confirmed INTEGER NOT NULL,
  buried INTEGER NOT NULL,
  evicted INTEGER NOT NULL,
  expired INTEGER NOT NULL,
  damaged INTEGER NOT NULL,
  skipped INTEGER NOT NULL,
  sent_once INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letter (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  lane TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  route INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  frame INTEGER NOT NULL,
  created INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;

-- `routes` stands first so that no row of this table looks like one of `segment` (raw-pages.ts).
CREATE TABLE damaged_segment (
  sequence INTEGER PRIMARY KEY,
  routes TEXT NOT NULL,
  first_frame INTEGER NOT NULL,
  frames INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  created INTEGER NOT NULL,
  noticed INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
