using System.Reflection;

namespace Exporter.Engine.Storage;

/// <summary>An embedded file of named statements: each begins at a line <c>-- name: ClaimRuns</c>.</summary>
public sealed class SqlFile
{
    private const string Mark = "-- name:";
    private readonly Dictionary<string, string> _statements;
    private readonly string _resource;

    private SqlFile(string resource, Dictionary<string, string> statements)
    {
        _resource = resource;
        _statements = statements;
    }

    /// <summary>The names of all statements.</summary>
    public IReadOnlyCollection<string> Names => _statements.Keys;

    /// <summary>A statement's text, with its comments, so that it can be found in the server's logs.</summary>
    /// <exception cref="KeyNotFoundException">The file has no statement of this name.</exception>
    public string this[string name] => _statements.TryGetValue(name, out var sql)
        ? sql
        : throw new KeyNotFoundException($"{_resource} has no statement named {name}.");

    /// <summary>Reads a resource, such as <c>sql/runs.sql</c>.</summary>
    /// <exception cref="InvalidOperationException">There is no such resource, or a name stands twice in it.</exception>
    public static SqlFile Load(Assembly assembly, string resource)
    {
        ArgumentNullException.ThrowIfNull(assembly);
        using var stream = assembly.GetManifestResourceStream(resource)
            ?? throw new InvalidOperationException($"{assembly.GetName().Name} embeds no {resource}.");
        using var reader = new StreamReader(stream);
        var statements = new Dictionary<string, string>(StringComparer.Ordinal);
        var sections = ("\n" + reader.ReadToEnd()).Split("\n" + Mark);
        foreach (var section in sections.Skip(1))
        {
            var end = section.IndexOf('\n', StringComparison.Ordinal);
            var name = section[..end].Trim();
            if (!statements.TryAdd(name, Mark + " " + name + section[end..].TrimEnd()))
            {
                throw new InvalidOperationException($"{resource} has two statements named {name}.");
            }
        }

        return new SqlFile(resource, statements);
    }
}
