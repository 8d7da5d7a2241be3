using System.Security.Cryptography;
using System.Text;

namespace Exporter.Exports.Destinations.Postgres;

/// <summary>
/// The statements that bring rows from a temporary table into the target, one for each key. Pure. With a version the highest one
/// stays, whichever comes first; a deleted key is remembered with its version, so that an older row does not bring it back.
/// </summary>
internal sealed class MergeStatements(PostgresOptions options, string table, IReadOnlyList<TargetColumn> columns)
{
    /// <summary>The temporary table, gone with its transaction.</summary>
    public const string Stage = "_exporter_stage";

    private readonly string _target = Quoted.In(options.Schema, table);
    private readonly string _stage = $"pg_temp.{Quoted.Name(Stage)}";
    private readonly string _names = Quoted.Names(columns.Select(column => column.Name));
    private readonly string _keys = Quoted.Names(options.KeyColumns);
    private readonly string? _version = options.Version is { } version ? Quoted.Name(version) : null;

    /// <summary>Whether merges of this table wait for each other: a row that comes and the same row that goes would not see each other.</summary>
    public bool IsAlone => options.DeleteColumn is not null;

    /// <summary>Makes the table that rows are copied to: the target's columns, without its constraints.</summary>
    public string CreateStage => $"create temporary table {Quoted.Name(Stage)} on commit drop as select {_names} from {_target} with no data";

    /// <summary>In their order, in one transaction.</summary>
    public IReadOnlyList<string> All() => options.DeleteColumn is null
        ? [Upsert($"select distinct on ({_keys}) {_names} from {_stage} order by {Order}")]
        : _version is null
            ? [DeleteWithout(), Upsert($"select {_names} from ({Newest}) n where not ({Gone})")]
            : [CreateRemembered(), Remember(), Delete(), Upsert($"select {_names} from ({Newest}) n where not ({Gone}) and {NotDeleted}")];

    private string Order => _version is null ? $"{_keys}, ctid desc" : $"{_keys}, {_version} desc nulls last, ctid desc";

    private string Newest => $"select distinct on ({_keys}) {_names} from {_stage} order by {Order}";

    private string Gone
    {
        get
        {
            var name = Quoted.Name(options.DeleteColumn!);
            var type = columns.First(column => column.Name == options.DeleteColumn).Type;
            return type.Form switch
            {
                PostgresForm.Boolean => $"coalesce({name}, false)",
                PostgresForm.SmallInt or PostgresForm.Integer or PostgresForm.BigInt or PostgresForm.Numeric => $"coalesce({name} <> 0, false)",
                _ => throw new UserErrorException(
                    PostgresOptions.DeleteSetting, $"Column \"{options.DeleteColumn}\" is of type {type}.", "Name a boolean column, or one with whole numbers."),
            };
        }
    }

    private string Remembered
    {
        get
        {
            var name = "_exporter_deleted_" + table;
            if (Encoding.UTF8.GetByteCount(name) > PostgresOptions.LongestName)
            {
                name = "_exporter_deleted_" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(table)))[..32];
            }

            return Quoted.In(options.Schema, name);
        }
    }

    private string NotDeleted => $"not exists (select from {Remembered} d where {Same("d", "n")} and d.{_version} >= n.{_version})";

    private string CreateRemembered()
    {
        var kept = columns.Where(column => options.KeyColumns.Contains(column.Name) || column.Name == options.Version);
        return $"create table if not exists {Remembered} ({string.Join(", ", kept.Select(column => $"{Quoted.Name(column.Name)} {column.Type.Sql}"))}, primary key ({_keys}))";
    }

    private string Remember() => $"""
        insert into {Remembered} as d ({_keys}, {_version})
        select {_keys}, {_version} from ({Newest}) n where {Gone} and {_version} is not null
        on conflict ({_keys}) do update set {_version} = excluded.{_version} where d.{_version} is null or d.{_version} < excluded.{_version}
        """;

    private string Delete() => $"""
        delete from {_target} t using {Remembered} d, (select {_keys} from {_stage} where {Gone}) n
        where {Same("d", "t")} and {Same("d", "n")} and (t.{_version} is null or t.{_version} <= d.{_version})
        """;

    private string DeleteWithout() => $"delete from {_target} t using ({Newest}) n where {Same("t", "n")} and {Gone.Replace(Quoted.Name(options.DeleteColumn!), "n." + Quoted.Name(options.DeleteColumn!), StringComparison.Ordinal)}";

    private string Same(string one, string other) =>
        string.Join(" and ", options.KeyColumns.Select(key => $"{one}.{Quoted.Name(key)} = {other}.{Quoted.Name(key)}"));

    // Rows that are the same are not written again: they would only make the table grow. json, unlike jsonb, cannot be compared.
    private string Upsert(string rows)
    {
        var others = columns.Where(column => !options.KeyColumns.Contains(column.Name)).ToList();
        var insert = $"insert into {_target} as t ({_names}) {rows} on conflict ({_keys}) do ";
        if (others.Count == 0)
        {
            return insert + "nothing";
        }

        var compared = others.Where(column => !column.Type.Name.StartsWith("json", StringComparison.Ordinal) || column.Type.Name == "jsonb").ToList();
        var changed = compared.Count < others.Count
            ? "true"
            : $"({string.Join(", ", compared.Select(column => "t." + Quoted.Name(column.Name)))}) is distinct from ({string.Join(", ", compared.Select(column => "excluded." + Quoted.Name(column.Name)))})";
        var newer = _version is null ? changed : $"t.{_version} is null or t.{_version} < excluded.{_version} or (t.{_version} = excluded.{_version} and {changed})";
        return $"{insert}update set {string.Join(", ", others.Select(column => $"{Quoted.Name(column.Name)} = excluded.{Quoted.Name(column.Name)}"))} where {newer}";
    }
}
