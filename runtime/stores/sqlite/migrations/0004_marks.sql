-- What tells whether a call is made with the same arguments again; NULL where nothing does.

ALTER TABLE calls ADD COLUMN marks BLOB;
