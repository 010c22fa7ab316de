-- Creates the schemas of attrsync for a role that may create none: psql --file schema.sql DATABASE
--
-- Run it as the owner of the database, or as a superuser. The role `attrsync` has to exist:
--   CREATE ROLE attrsync LOGIN PASSWORD '...'
-- attrsync creates and changes the tables in these schemas by itself, and touches nothing else.

-- The ledger. Another name stands in the address as ?schema=NAME.
CREATE SCHEMA IF NOT EXISTS attrsync AUTHORIZATION attrsync;

-- The shared rate. Always called like this: ledgers in the same database share it.
CREATE SCHEMA IF NOT EXISTS attrsync_quota AUTHORIZATION attrsync;
