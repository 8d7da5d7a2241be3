using System.Data.Common;
using System.Text.RegularExpressions;
using Exporter.Exports.Destinations;
using Npgsql;

namespace Exporter.Exports.Cli;

/// <summary>Connection strings as people have them, in the words of the drivers. Messages never contain them.</summary>
internal static partial class ConnectionText
{
    /// <summary>From <c>postgresql://user:password@host:port/database?sslmode=require</c>, or as it is.</summary>
    public static string Postgres(string text)
    {
        try
        {
            var builder = new NpgsqlConnectionStringBuilder(Uri(text, ["postgresql", "postgres"]) is not { } uri ? text : "");
            if (Uri(text, ["postgresql", "postgres"]) is { } url)
            {
                builder.Host = url.Host;
                builder.Port = url.Port > 0 ? url.Port : 5432;
                var (user, password) = User(url);
                builder.Username = user;
                builder.Password = password;
                builder.Database = Database(url);
                foreach (var (name, value) in Query(url))
                {
                    builder[name is "sslmode" ? "SSL Mode" : name is "application_name" ? "Application Name" : name.Replace('_', ' ')] = value;
                }
            }

            return builder.ConnectionString;
        }
        catch (Exception error) when (error is ArgumentException or FormatException or InvalidCastException)
        {
            throw new UserErrorException(
                "postgres", "The setting postgres (EXPORTER_POSTGRES) is no connection string for PostgreSQL.", "Write postgresql://user:password@host:5432/database.");
        }
    }

    /// <summary>From <c>http://user:password@host:port/database</c>, or as it is.</summary>
    public static string ClickHouse(string text)
    {
        // Several hosts, which Uri does not know: the first one stands for all.
        var several = HostList().Match(text);
        if (several.Success)
        {
            var first = new DbConnectionStringBuilder { ConnectionString = ClickHouse($"{several.Groups["head"]}{several.Groups["first"]}{several.Groups["tail"]}") };
            var usual = first["Port"];
            first["Host"] = string.Join(
                ',', $"{several.Groups["first"]}{several.Groups["others"]}".Split(',').Select(host => host.Contains(':', StringComparison.Ordinal) ? host : $"{host}:{usual}"));
            return first.ConnectionString;
        }

        if (Uri(text, ["http", "https", "clickhouse"]) is not { } url)
        {
            try
            {
                var given = new DbConnectionStringBuilder { ConnectionString = text };

                // The driver would take its usual port in place of one that it cannot read.
                return !given.TryGetValue("Port", out var port) || ushort.TryParse(port.ToString(), out _)
                    ? given.ConnectionString
                    : throw new UserErrorException("clickhouse", "The port in the value of clickhouse is no number.", "Correct it in EXPORTER_CLICKHOUSE.");
            }
            catch (ArgumentException)
            {
                throw new UserErrorException(
                    "clickhouse", "The setting clickhouse (EXPORTER_CLICKHOUSE) is no connection string for ClickHouse.", "Write http://user:password@host:8123/database.");
            }
        }

        var secure = url.Scheme == "https";
        var builder = new DbConnectionStringBuilder
        {
            ["Host"] = url.Host,
            ["Port"] = url.IsDefaultPort || url.Port < 0 ? (secure ? 8443 : 8123) : url.Port,
            ["Protocol"] = secure ? "https" : "http",
        };
        var (user, password) = User(url);
        Set("Username", user);
        Set("Password", password);
        Set("Database", Database(url));
        return builder.ConnectionString;

        void Set(string name, string? value)
        {
            if (value is not null)
            {
                builder[name] = value;
            }
        }
    }

    /// <summary>Whether a connection string holds a password.</summary>
    public static bool HasPassword(string text) =>
        text.Contains("password", StringComparison.OrdinalIgnoreCase) || text.Contains("pwd=", StringComparison.OrdinalIgnoreCase)
        || (System.Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.UserInfo.Contains(':', StringComparison.Ordinal));

    /// <summary>Where a connection string leads to, without user and password.</summary>
    public static string Place(string text)
    {
        var builder = new DbConnectionStringBuilder { ConnectionString = text };
        string? Part(string name) => builder.TryGetValue(name, out var value) ? value.ToString() : null;
        var host = Part("Host") ?? "localhost";
        return $"{host}{(host.Contains(',', StringComparison.Ordinal) ? "" : $":{Part("Port") ?? "default port"}")}/{Part("Database") ?? "default database"}";
    }

    private static Uri? Uri(string text, string[] schemes) =>
        System.Uri.TryCreate(text, UriKind.Absolute, out var uri) && schemes.Contains(uri.Scheme) ? uri : null;

    private static (string? User, string? Password) User(Uri url)
    {
        var parts = url.UserInfo.Split(':', 2);
        return (
            parts[0].Length > 0 ? System.Uri.UnescapeDataString(parts[0]) : null,
            parts.Length > 1 ? System.Uri.UnescapeDataString(parts[1]) : null);
    }

    private static string? Database(Uri url) => url.AbsolutePath.Length > 1 ? System.Uri.UnescapeDataString(url.AbsolutePath[1..]) : null;

    private static IEnumerable<(string Name, string Value)> Query(Uri url) => url.Query.TrimStart('?')
        .Split('&', StringSplitOptions.RemoveEmptyEntries)
        .Select(pair => pair.Split('=', 2))
        .Select(pair => (System.Uri.UnescapeDataString(pair[0]), pair.Length > 1 ? System.Uri.UnescapeDataString(pair[1]) : ""));

    [GeneratedRegex(@"\A(?<head>(https?|clickhouse)://([^/@]*@)?)(?<first>[^/?,@]+)(?<others>(,[^/?,@]+)+)(?<tail>([/?].*)?)\z")]
    private static partial Regex HostList();
}
