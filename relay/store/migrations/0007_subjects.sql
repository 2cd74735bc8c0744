-- What a deed was about, one by one, where it was about several: its own words name only the first of them. Kept for
-- ever, as deeds are. Of what was done before these were kept, only what was about one thing is found by that.
CREATE TABLE deed_subjects (
    about    TEXT    NOT NULL,
    deed_id  INTEGER NOT NULL,
    PRIMARY KEY (about, deed_id)
) STRICT, WITHOUT ROWID;
