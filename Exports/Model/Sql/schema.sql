-- Statements about the schemas themselves.

-- name: EngineScripts
select scriptname from engine.schema_version

-- name: ExportScripts
select scriptname from exports.schema_version
