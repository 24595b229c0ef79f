BEGIN TRANSACTION;
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,          -- of the request: all that a reply depends on
    prompt_id TEXT NOT NULL,
    judge TEXT NOT NULL,
    rubric TEXT NOT NULL,
    asked TEXT NOT NULL,        -- UTC, ISO 8601
    seconds REAL NOT NULL,
    outcome TEXT NOT NULL,      -- scored | unscored | failed
    step TEXT,                  -- of mmdpo.judge.reply, which read it
    reason TEXT,                -- why it is not scored
    ratings TEXT,               -- JSON: five numbers a completion, as shown
    shown TEXT NOT NULL,        -- JSON: which completion stood where
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost REAL NOT NULL,
    note TEXT,                  -- what was done to the image
    reply TEXT
, batch TEXT);
INSERT INTO "attempts" VALUES(1,'e51b32a454c49a9a131d1c36815d51f1','p0','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'scored','schema',NULL,'[[4, 2, 4, 1, 4], [2, 2, 4, 1, 3], [0, 1, 4, 1, 2], [0, 2, 4, 1, 4]]','[2, 3, 0, 1]',1000,100,0.002,NULL,'{"reviews": [], "calibration": "", "ratings": [{"label": "A", "helpfulness": 4, "correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 4}, {"label": "B", "helpfulness": 2, "correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 3}, {"label": "C", "helpfulness": 0, "correctness": 1, "coherence": 4, "complexity": 1, "verbosity": 2}, {"label": "D", "helpfulness": 0, "correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 4}]}',NULL);
INSERT INTO "attempts" VALUES(2,'85bd4f69846c1f4855a729360d0341b1','p1','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'unscored',NULL,'no_ratings',NULL,'[3, 2, 1, 0]',1000,100,0.002,NULL,'I like B.',NULL);
INSERT INTO "attempts" VALUES(3,'85bd4f69846c1f4855a729360d0341b1','p1','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'scored','schema, asked twice',NULL,'[[2, 2, 4, 1, 3], [4, 2, 4, 1, 4], [0, 2, 4, 1, 4], [0, 1, 4, 1, 2]]','[3, 2, 1, 0]',1000,100,0.002,NULL,'{"reviews": [], "calibration": "", "ratings": [{"label": "A", "helpfulness": 2, "correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 3}, {"label": "B", "helpfulness": 4, "correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 4}, {"label": "C", "helpfulness": 0, "correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 4}, {"label": "D", "helpfulness": 0, "correctness": 1, "coherence": 4, "complexity": 1, "verbosity": 2}]}',NULL);
INSERT INTO "attempts" VALUES(4,'94a267a0e052adb0487c7b5f86c58332','p2','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'unscored',NULL,'no_ratings',NULL,'[1, 3, 2, 0]',1000,100,0.002,NULL,'what?',NULL);
INSERT INTO "attempts" VALUES(5,'94a267a0e052adb0487c7b5f86c58332','p2','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'unscored','asked twice','no_ratings',NULL,'[1, 3, 2, 0]',1000,100,0.002,NULL,'no',NULL);
INSERT INTO "attempts" VALUES(6,'1e8670289f7890e3961cc8953b152516','p3','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'failed',NULL,'throttled',NULL,'[0, 3, 1, 2]',0,0,0.0,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(7,'1e8670289f7890e3961cc8953b152516','p3','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'scored','schema',NULL,'[[0, 1, 4, 1, 2], [2, 2, 4, 1, 3], [0, 2, 4, 1, 4], [4, 2, 4, 1, 4]]','[0, 3, 1, 2]',1000,100,0.002,NULL,'{"reviews": [], "calibration": "", "ratings": [{"label": "A", "helpfulness": 0, "correctness": 1, "coherence": 4, "complexity": 1, "verbosity": 2}, {"label": "B", "helpfulness": 2, "correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 3}, {"label": "C", "helpfulness": 0, "correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 4}, {"label": "D", "helpfulness": 4, "correctness": 2, "coherence": 4, "complexity": 1, "verbosity": 4}]}',NULL);
INSERT INTO "attempts" VALUES(8,'2a0d5401dc72c6bbc1b550a7e6437a08','p4','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'unscored',NULL,'recitation',NULL,'[0, 1, 3, 2]',7,0,7.0e-06,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(9,'0957c2d559884b9edeeb520dd6f52ec3','p5','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'unscored',NULL,'no_ratings',NULL,'[0, 3, 2, 1]',1000,100,0.002,NULL,'I like A.',NULL);
INSERT INTO "attempts" VALUES(10,'da22ccdedd809688ded6baf8bb008c84','a','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'scored','text',NULL,NULL,'[]',1000,100,0.002,NULL,'It is blue.',NULL);
INSERT INTO "attempts" VALUES(11,'7ceb2a38c3eb5d18375ed4dd6ce3a493','b','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'unscored',NULL,'empty',NULL,'[]',1000,100,0.002,NULL,'',NULL);
INSERT INTO "attempts" VALUES(12,'7ceb2a38c3eb5d18375ed4dd6ce3a493','b','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'unscored','asked twice','truncated',NULL,'[]',1000,100,0.002,NULL,'It is ...',NULL);
INSERT INTO "attempts" VALUES(13,'169bf92352d2e5cd4a0dbab6dec9e211','c','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'unscored',NULL,'empty',NULL,'[]',1000,100,0.002,NULL,'',NULL);
INSERT INTO "attempts" VALUES(14,'169bf92352d2e5cd4a0dbab6dec9e211','c','gemini','helpsteer_1','2026-11-26T11:38:20+00:00',0.0,'scored','text, asked twice',NULL,NULL,'[]',1000,100,0.002,NULL,'Nobody.',NULL);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    display_name TEXT NOT NULL UNIQUE, -- ours, written before the job is created
    name TEXT,                  -- the service's, written when it is created
    judge TEXT NOT NULL,
    base_url TEXT,
    rubric TEXT NOT NULL,
    reads TEXT NOT NULL,        -- what makes something of its replies
    submitted TEXT NOT NULL,    -- UTC, ISO 8601
    state TEXT NOT NULL,        -- running | collected | closed | how else it ended
    expected REAL NOT NULL,     -- its cost, guessed
    asked TEXT NOT NULL         -- JSON: its requests, and with which text
);
INSERT INTO "batches" VALUES(1,'mmdpo-4e0eaef3ed5c423a8fc0fecbbf7570a6','batches/one','gemini',NULL,'helpsteer_1','read_ratings','2026-11-26T11:38:20+00:00','running',2.42549999999999970484e-03,'[{"key": "0957c2d559884b9edeeb520dd6f52ec3", "prompt_id": "p5", "order": [0, 3, 2, 1], "mark": "asked twice", "note": "image sent smaller"}, {"key": "d3b5060f479b3a5b2b656db4ecb2f211", "prompt_id": "p6", "order": [1, 2, 0, 3], "mark": "", "note": "image sent smaller"}, {"key": "a8c897e62674e885c80968c821cbd47c", "prompt_id": "p7", "order": [0, 3, 1, 2], "mark": "", "note": "image sent smaller"}]');
INSERT INTO "batches" VALUES(2,'mmdpo-4d451d8a88f045d68fa160aa92b8a9bf','batches/two','gemini',NULL,'helpsteer_1','read_text','2026-11-26T11:38:20+00:00','running',0.0005005,'[{"key": "affeca88173a172857a978152b1581e8", "prompt_id": "d", "order": [], "mark": "", "note": "image sent smaller"}]');
CREATE INDEX attempts_key ON attempts (key, outcome);
CREATE INDEX attempts_asked ON attempts (judge, asked);
COMMIT;
PRAGMA user_version=2;
