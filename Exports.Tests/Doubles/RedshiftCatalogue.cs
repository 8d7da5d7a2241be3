using System.Globalization;
using Dapper;
using Npgsql;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>What Redshift has besides PostgreSQL: system views and functions, in a schema of their own in the real database, and types that count bytes.</summary>
internal sealed class RedshiftCatalogue(NpgsqlDataSource admin) : IDisposable
{
    private readonly SemaphoreSlim _one = new(1);
    private readonly HashSet<string> _domains = [];

    /// <summary>Makes it, and a user who may create tables in public.</summary>
    public async Task MakeAsync(string user, string database)
    {
        await using var connection = await admin.OpenConnectionAsync();
        await connection.ExecuteAsync($$"""
            create role "{{user}}" login;
            create schema redshift;
            grant usage on schema redshift to public;
            grant create, usage on schema public to "{{user}}";
            alter database "{{database}}" set search_path = public, redshift;
            alter database "{{database}}" set timezone = 'UTC';

            -- https://docs.aws.amazon.com/redshift/latest/dg/JSON_PARSE.html; and limitations-super.html: 16 MB, and 65,535 bytes of a text inside.
            create function redshift.json_parse(value text) returns jsonb language plpgsql immutable as $$
            begin
              if octet_length(value) > 16777216 or (octet_length(value) > 65535
                and exists (select from jsonb_path_query(value::jsonb, 'strict $.**') piece where jsonb_typeof(piece) = 'string' and octet_length(piece #>> '{}') > 65535)) then
                raise exception using errcode = 'XX000', message = 'String value exceeds the max size of 65535 bytes', detail = 'code: 8001 context: JSON parsing error';
              end if;
              return value::jsonb;
            exception when invalid_text_representation or untranslatable_character then
              raise exception using errcode = 'XX000', message = 'JSON parsing error', detail = 'error: unexpected token code: 8001 context: JSON parsing error';
            end $$;
            create function redshift.json_parse(value bytea) returns jsonb language sql immutable as $$ select redshift.json_parse(convert_from(value, 'UTF8')) $$;
            create function redshift.from_varbyte(value bytea, format text) returns text language sql immutable as $$ select convert_from(value, 'UTF8') $$;
            create function redshift.from_hex(value text) returns bytea language sql immutable as $$ select decode(value, 'hex') $$;
            create function redshift.getdate() returns timestamp language sql stable as $$ select date_trunc('second', statement_timestamp() at time zone 'UTC') $$;

            create table redshift.load_errors (
              session_id integer, start_time timestamp default clock_timestamp(), file_name text, column_name text, column_type text, error_code integer, error_message text);
            -- https://docs.aws.amazon.com/redshift/latest/dg/SYS_LOAD_ERROR_DETAIL.html and r_STL_LOAD_ERRORS.html: texts are padded with blanks.
            create view redshift.sys_load_error_detail as
            select session_id, start_time, file_name::char(256), column_name::char(127), column_type::char(10), error_code, error_message::char(512) from redshift.load_errors;
            create view redshift.stl_load_errors as
            select session_id as session, start_time as starttime, file_name::char(256) as filename, column_name::char(127) as colname, column_type::char(10) as type,
              error_code as err_code, error_message::char(100) as err_reason from redshift.load_errors;

            -- https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_ALL_SCHEMAS.html, r_SVV_ALL_TABLES.html and r_SVV_ALL_COLUMNS.html
            create view redshift.svv_all_schemas as
            select current_database()::varchar as database_name, nspname::varchar as schema_name, nspowner::integer as schema_owner
            from pg_namespace where nspname not like 'pg\_%' and nspname not in ('information_schema', 'redshift') and has_schema_privilege(oid, 'usage');
            create view redshift.svv_all_tables as
            select current_database()::varchar as database_name, n.nspname::varchar as schema_name, c.relname::varchar as table_name,
              case c.relkind when 'v' then 'VIEW' else 'TABLE' end::varchar as table_type
            from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'v') and n.nspname not in ('pg_catalog', 'information_schema', 'redshift');
            create view redshift.svv_all_columns as
            select current_database()::varchar as database_name, n.nspname::varchar as schema_name, c.relname::varchar as table_name, a.attname::varchar as column_name,
              a.attnum::integer as ordinal_position, pg_get_expr(d.adbin, d.adrelid)::varchar as column_default, case when a.attnotnull then 'NO' else 'YES' end::varchar as is_nullable,
              (case when t.typname like 'varchar\_%' then 'character varying' when t.typname like 'varbyte\_%' then 'binary varying' when t.typname = 'jsonb' then 'super'
                else format_type(a.atttypid, null) end)::varchar as data_type,
              (case when t.typname ~ '^var(char|byte)_' then substring(t.typname from '\d+$')::integer when t.typname = 'varchar' then a.atttypmod - 4 end) as character_maximum_length,
              (case t.typname when 'numeric' then ((a.atttypmod - 4) >> 16) & 65535 when 'int2' then 16 when 'int4' then 32 when 'int8' then 64 end) as numeric_precision,
              (case t.typname when 'numeric' then (a.atttypmod - 4) & 65535 when 'int2' then 0 when 'int4' then 0 when 'int8' then 0 end) as numeric_scale
            from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace join pg_type t on t.oid = a.atttypid
            left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
            where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v') and n.nspname not in ('pg_catalog', 'information_schema', 'redshift') and n.nspname not like 'pg\_toast%';
            grant select on all tables in schema redshift to public;
            """);
    }

    /// <summary>Makes a type such as varchar_65535, which counts bytes.</summary>
    public async Task MakeDomainAsync(string name)
    {
        await _one.WaitAsync();
        try
        {
            if (_domains.Add(name))
            {
                var parts = name.Split('_');
                await using var connection = await admin.OpenConnectionAsync();
                await connection.ExecuteAsync($"create domain redshift.{name} as {(parts[0] == "varchar" ? "varchar" : "bytea")} check (octet_length(value) <= {parts[1]})");
            }
        }
        finally
        {
            _one.Release();
        }
    }

    /// <summary>Writes down why a COPY failed.</summary>
    public async Task AddLoadErrorAsync(int session, string file, string column, string type, int code, string message)
    {
        await using var connection = await admin.OpenConnectionAsync();
        await connection.ExecuteAsync(
            "insert into redshift.load_errors (session_id, file_name, column_name, column_type, error_code, error_message) values (@session, @file, @column, @type, @code, @message)",
            new { session, file, column, type, code, message });
    }

    public void Dispose() => _one.Dispose();

    /// <summary>What PostgreSQL says of a violated limit, as Redshift says it.</summary>
    public static (string Code, string Message, string? Detail) Translated(Dictionary<char, string> error) => (error['C'], error['M'], error.GetValueOrDefault('D')) switch
    {
        // https://repost.aws/knowledge-center/redshift-serializable-isolation
        ("40001", _, _) => ("XX000", "1023", "Serializable isolation violation on table - 1256109, transactions forming the cycle are: 647671, 647682 (pid:23880)"),

        // https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html
        ("23514", var message, _) when message.Contains("redshift.var", StringComparison.Ordinal) || message.Contains("domain var", StringComparison.Ordinal) =>
            ("22001", string.Create(CultureInfo.InvariantCulture, $"value too long for type {(message.Contains("varbyte", StringComparison.Ordinal) ? "binary" : "character")} varying"), null),
        var other => other,
    };
}
