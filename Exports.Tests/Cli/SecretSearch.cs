using System.Text;
using System.Text.Json;

namespace Exporter.Exports.Tests.Cli;

/// <summary>Looks for secrets in whatever form they may have slipped out: plain, base64, hexadecimal, in a URL or in JSON.</summary>
internal sealed class SecretSearch(params string[] secrets)
{
    private readonly List<(string Secret, string Form, string Text)> _needles = [.. secrets.SelectMany(Forms)];

    /// <summary>What of the secrets a text holds, without repeating it.</summary>
    public IEnumerable<string> In(string place, string text) => _needles
        .Where(needle => text.Contains(needle.Text, StringComparison.OrdinalIgnoreCase))
        .Select(needle => $"{place} holds {needle.Secret[..3]}..., {needle.Form}");

    /// <summary>What of the secrets the tables of both schemas hold, in any column.</summary>
    public async Task<IReadOnlyList<string>> InTablesAsync(CliServers servers)
    {
        var found = new List<string>();
        foreach (var table in await servers.AskAsync(
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('engine', 'exports') order by 1"))
        {
            // As text a row has its bytes in hexadecimal.
            found.AddRange(In(table, string.Join('\n', await servers.AskAsync($"select t::text from {table} t"))));
            foreach (var column in await servers.AskAsync(
                $"select quote_ident(attname) from pg_attribute where attrelid = '{table}'::regclass and atttypid = 'bytea'::regtype and not attisdropped"))
            {
                found.AddRange(In($"{table}.{column}", string.Join('\n', await servers.AskAsync($"select encode({column}, 'escape') from {table}"))));
            }
        }

        return found;
    }

    private static IEnumerable<(string Secret, string Form, string Text)> Forms(string secret)
    {
        Assert.That(secret, Has.Length.GreaterThan(9), "shorter ones are found by accident");
        var bytes = Encoding.UTF8.GetBytes(secret);
        yield return (secret, "plain", secret);
        yield return (secret, "in hexadecimal", Convert.ToHexString(bytes));
        yield return (secret, "in a URL", Uri.EscapeDataString(secret));
        yield return (secret, "in JSON", JsonSerializer.Serialize(secret)[1..^1]);

        // In the midst of something longer, base64 depends on where it begins; the ends are its neighbours' too.
        for (var before = 0; before < 3; before++)
        {
            var text = Convert.ToBase64String([.. new byte[before], .. bytes]);
            yield return (secret, "in base64", text[(before == 0 ? 0 : 4)..^4]);
        }
    }
}
