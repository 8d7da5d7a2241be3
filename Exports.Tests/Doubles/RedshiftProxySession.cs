using System.Buffers.Binary;
using System.Globalization;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace Exporter.Exports.Tests.Doubles;

/// <summary>
/// One client's connection: messages go on to a real PostgreSQL, each statement by itself, translated or refused; COPY is answered here. A statement that fails ends its request, as
/// in PostgreSQL: what follows up to Sync is passed over.
/// </summary>
internal sealed class RedshiftProxySession(RedshiftServer owner, TcpClient connection) : IDisposable
{
    private readonly WirePeer _client = new(connection.GetStream());
    private readonly TcpClient _real = new();
    private readonly List<WireMessage> _group = [];
    private WirePeer _server = null!;
    private string? _statement;
    private char _status = 'I';
    private bool _isPassing;
    private bool _isMute;
    private int _processId;
    private long _lastCopied;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (await BeginAsync(cancellationToken))
        {
            while (await _client.ReadAsync(cancellationToken) is { } message && await TakeAsync(message, cancellationToken))
            {
            }
        }
    }

    public void Dispose()
    {
        connection.Dispose();
        _real.Dispose();
    }

    private async Task<bool> BeginAsync(CancellationToken cancellationToken)
    {
        while (await _client.ReadFirstAsync(cancellationToken) is { } first)
        {
            switch (BinaryPrimitives.ReadInt32BigEndian(first))
            {
                // TLS and GSS: neither.
                case 80877103 or 80877104:
                    await _client.Stream.WriteAsync("N"u8.ToArray(), cancellationToken);
                    break;

                // A cancellation, which has no answer.
                case 80877102:
                    await ConnectAsync(cancellationToken);
                    await _server.WriteFirstAsync(first, cancellationToken);
                    return false;
                default:
                    return await StartAsync(first, cancellationToken);
            }
        }

        return false;
    }

    private async Task ConnectAsync(CancellationToken cancellationToken)
    {
        await _real.ConnectAsync(owner.Parts.Host!, owner.Parts.Port, cancellationToken);
        _real.NoDelay = true;
        _server = new WirePeer(_real.GetStream());
    }

    private async Task<bool> StartAsync(byte[] first, CancellationToken cancellationToken)
    {
        var at = 4;
        var message = new WireMessage(' ', first);
        var user = "";
        while (at < first.Length - 1)
        {
            var (name, value) = (message.Text(ref at), message.Text(ref at));
            user = name == "user" ? value : user;
        }

        if (!await KnowsAsync(user, cancellationToken))
        {
            await _client.WriteAsync(WireMessage.Error("28P01", $"password authentication failed for user \"{user}\"", null), cancellationToken);
            return false;
        }

        await ConnectAsync(cancellationToken);
        await _server.WriteFirstAsync(first, cancellationToken);
        while (await _server.ReadAsync(cancellationToken) is { } answer)
        {
            if (answer.Type == 'K')
            {
                _processId = BinaryPrimitives.ReadInt32BigEndian(answer.Body);
            }

            // It was PostgreSQL 8.0.2 once: https://docs.aws.amazon.com/redshift/latest/dg/c_redshift-and-postgres-sql.html
            var place = 0;
            await _client.WriteAsync(
                answer.Type == 'S' && answer.Text(ref place) == "server_version" ? WireMessage.Of('S', "server_version", "8.0.2") : answer, cancellationToken);
            if (answer.Type is 'Z' or 'E')
            {
                return answer.Type == 'Z';
            }
        }

        return false;
    }

    // MD5 with a salt.
    private async Task<bool> KnowsAsync(string user, CancellationToken cancellationToken)
    {
        var salt = RandomNumberGenerator.GetBytes(4);
        await _client.WriteAsync(WireMessage.Of('R', 5, salt), cancellationToken);
        if (await _client.ReadAsync(cancellationToken) is not { Type: 'p' } answer)
        {
            return false;
        }

        var at = 0;
        return user == owner.User && answer.Text(ref at) == "md5" + Hash([.. Encoding.ASCII.GetBytes(Hash(Encoding.UTF8.GetBytes(owner.Password + user))), .. salt]);

        // The protocol's own, which nothing secret depends on here.
#pragma warning disable CA5351
        static string Hash(byte[] bytes) => Convert.ToHexStringLower(MD5.HashData(bytes));
#pragma warning restore CA5351
    }

    /// <returns>Whether the connection goes on.</returns>
    private async Task<bool> TakeAsync(WireMessage message, CancellationToken cancellationToken)
    {
        switch (message.Type)
        {
            case 'X':
                return false;
            case 'Q':
                var place = 0;
                _group.Add(message);
                return await StatementAsync(message.Text(ref place), isSimple: true, cancellationToken) && await ReadyAsync(cancellationToken);
            case 'P':
                var at = 0;
                message.Text(ref at);
                _statement = message.Text(ref at);
                _group.Add(message);
                return true;
            case 'E':
                _group.Add(message);
                return await StatementAsync(_statement!, isSimple: false, cancellationToken);
            case 'S':
                if (_group.Count > 0 && !_isPassing)
                {
                    await ForwardAsync([.. _group, WireMessage.Of('S')], cancellationToken);
                }

                _group.Clear();
                _isPassing = false;
                return await ReadyAsync(cancellationToken);
            default:
                _group.Add(message);
                return true;
        }
    }

    private async Task<bool> ReadyAsync(CancellationToken cancellationToken)
    {
        if (_isMute)
        {
            // All that the client had sent is done, and it does not know.
            return false;
        }

        await _client.WriteAsync(WireMessage.Of('Z', (byte)_status), cancellationToken);
        return true;
    }

    private async Task<bool> StatementAsync(string sql, bool isSimple, CancellationToken cancellationToken)
    {
        List<WireMessage> group = [.. _group];
        _group.Clear();
        if (_isPassing && !isSimple)
        {
            return true;
        }

        var call = owner.Call(sql);
        var fault = owner.Fault(call);
        try
        {
            if (fault is not null)
            {
                await fault.Waits;
                if (fault.Cut == RedshiftCut.Both)
                {
                    return false;
                }

                _isMute |= fault.Cut == RedshiftCut.Client;
                if (fault.Error is { } refused)
                {
                    throw refused;
                }
            }

            if (RedshiftCopy.IsCopy(sql))
            {
                await CopyAsync(sql, isSimple, cancellationToken);
            }
            else
            {
                var said = await RedshiftSql.TranslateAsync(sql, _lastCopied, owner.Catalogue.MakeDomainAsync);
                await ForwardAsync(isSimple ? [WireMessage.Of('Q', said)] : [Parse(group[0], said), .. group[1..], WireMessage.Of('S')], cancellationToken);
            }

            return fault?.Cut != RedshiftCut.After;
        }
        catch (RedshiftFailure failure)
        {
            await FailAsync(failure, cancellationToken);
            return true;
        }
        catch (Exception error) when (error is not (IOException or SocketException or ObjectDisposedException or OperationCanceledException))
        {
            await FailAsync(new RedshiftFailure("XX000", "The double: " + error), cancellationToken);
            return true;
        }
    }

    private static WireMessage Parse(WireMessage parse, string sql)
    {
        var at = 0;
        var name = parse.Text(ref at);
        parse.Text(ref at);
        return WireMessage.Of('P', name, sql, parse.Body[at..]);
    }

    // Sends messages and passes on what comes back, but that the server is ready.
    private async Task ForwardAsync(IReadOnlyList<WireMessage> messages, CancellationToken cancellationToken)
    {
        await _server.WriteAsync(messages, cancellationToken);
        while (await _server.ReadAsync(cancellationToken) is { } answer)
        {
            if (answer.Type == 'Z')
            {
                _status = (char)answer.Body[0];
                return;
            }

            if (answer.Type == 'E')
            {
                var (code, message, detail) = RedshiftCatalogue.Translated(answer.Fields());
                answer = WireMessage.Error(code, message, detail);
                _isPassing = true;
            }

            await SayAsync([answer], cancellationToken);
        }

        throw new IOException("PostgreSQL has ended the session.");
    }

    private async Task SayAsync(IEnumerable<WireMessage> messages, CancellationToken cancellationToken)
    {
        if (!_isMute)
        {
            await _client.WriteAsync(messages, cancellationToken);
        }
    }

    // A transaction has failed with its statement.
    private async Task FailAsync(RedshiftFailure failure, CancellationToken cancellationToken)
    {
        if (_status != 'I')
        {
            await AskAsync("select 'failed'::integer", cancellationToken, mayFail: true);
        }

        _isPassing = true;
        await SayAsync([WireMessage.Error(failure.SqlState, failure.Message, failure.Detail)], cancellationToken);
    }

    private async Task CopyAsync(string sql, bool isSimple, CancellationToken cancellationToken)
    {
        if (_status == 'E')
        {
            throw new RedshiftFailure("25P02", "current transaction is aborted, commands ignored until end of transaction block");
        }

        var (table, columns) = RedshiftCopy.Into(sql);
        var found = await AskAsync(
            $"""
            select a.attname, case when t.typtype = 'd' then t.typname when t.typname = 'numeric' then 'numeric(' || (((a.atttypmod - 4) >> 16) & 65535) || ',' || ((a.atttypmod - 4) & 65535) || ')' else t.typname end
            from pg_attribute a join pg_type t on t.oid = a.atttypid where a.attrelid = '{table.Replace("'", "''", StringComparison.Ordinal)}'::regclass and a.attnum > 0 and not a.attisdropped
            """,
            cancellationToken);
        var declared = found.ToDictionary(row => row[0]!, row => new RedshiftDeclared(row[0]!, row[1]!));
        var names = columns.Split(',').Select(name => RedshiftSql.Bare(name.Trim())).ToList();
        if (names.Find(name => !declared.ContainsKey(name)) is { } unknown)
        {
            throw new RedshiftFailure("42703", $"column \"{unknown}\" of relation {table} does not exist");
        }

        try
        {
            var (lines, rows) = await owner.Copy.ReadAsync(sql, [.. names.Select(name => declared[name])]);
            await LoadAsync($"COPY {table} ({columns}) FROM STDIN", lines, cancellationToken);
            _lastCopied = rows;
            List<WireMessage> answers = [WireMessage.Error("00000", string.Create(CultureInfo.InvariantCulture, $"Load into table {table} completed, {rows} record(s) loaded successfully."), null, 'N'), WireMessage.Of('C', "COPY")];
            await SayAsync(isSimple ? answers : [WireMessage.Of('1'), WireMessage.Of('2'), WireMessage.Of('n'), .. answers], cancellationToken);
        }
        catch (RedshiftLoadFailure failure)
        {
            var line = failure.Line;
            await owner.Catalogue.AddLoadErrorAsync(_processId, line.File, line.Column, line.Type, line.Code, line.Reason);
            throw new RedshiftFailure("XX000", $"Load into table '{table}' failed.  Check 'sys_load_error_detail' system table for details.");
        }
    }

    private async Task LoadAsync(string sql, byte[] lines, CancellationToken cancellationToken)
    {
        await _server.WriteAsync(WireMessage.Of('Q', sql), cancellationToken);
        Dictionary<char, string>? error = null;
        while (await _server.ReadAsync(cancellationToken) is { } answer)
        {
            switch (answer.Type)
            {
                case 'G':
                    await _server.WriteAsync([.. lines.Chunk(1024 * 1024).Select(chunk => new WireMessage('d', chunk)), WireMessage.Of('c')], cancellationToken);
                    break;
                case 'E':
                    error = answer.Fields();
                    break;
                case 'Z':
                    _status = (char)answer.Body[0];
                    if (error is not null)
                    {
                        var (code, message, detail) = RedshiftCatalogue.Translated(error);
                        throw new RedshiftFailure(code, message, detail);
                    }

                    return;
                default:
                    break;
            }
        }

        throw new IOException("PostgreSQL has ended the session.");
    }

    private async Task<List<List<string?>>> AskAsync(string sql, CancellationToken cancellationToken, bool mayFail = false)
    {
        await _server.WriteAsync(WireMessage.Of('Q', sql), cancellationToken);
        var rows = new List<List<string?>>();
        Dictionary<char, string>? error = null;
        while (await _server.ReadAsync(cancellationToken) is { } answer)
        {
            switch (answer.Type)
            {
                case 'D':
                    rows.Add(answer.Values());
                    break;
                case 'E':
                    error = answer.Fields();
                    break;
                case 'Z':
                    _status = (char)answer.Body[0];
                    return error is null || mayFail ? rows : throw new RedshiftFailure(error['C'], error['M'], error.GetValueOrDefault('D'));
                default:
                    break;
            }
        }

        throw new IOException("PostgreSQL has ended the session.");
    }
}
