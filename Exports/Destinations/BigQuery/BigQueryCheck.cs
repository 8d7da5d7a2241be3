using System.Globalization;
using Apache.Arrow;
using Apache.Arrow.Types;
using Exporter.Exports.Model;

namespace Exporter.Exports.Destinations.BigQuery;

/// <summary>Does in small, step by step, what an export does, and takes it back.</summary>
internal sealed class BigQueryCheck(BigQueryDestination destination, BigQueryOptions options, IBigQueryClient client, FormatOptions format, TimeProvider time)
{
    private const string Value = "naïve 東京";

    private readonly string _id = BigQueryCommits.NewClaim();
    private bool _made;
    private bool _staged;

    private string Table => "_exporter_check_" + _id;

    private string Stage => BigQueryStatements.StageOf(_id);

    private BigQueryField Column { get; } = new("value", new BigQueryType("STRING"));

    private DateTimeOffset Expires => time.GetUtcNow().AddHours(1);

    public IAsyncEnumerable<CheckResult> RunAsync(CancellationToken cancellationToken) => DestinationCheck.RunAsync(
        destination,
        [("connect", ConnectAsync), ("permissions", MayWriteAsync), ("write", WriteAsync), ("read back", ReadAsync), ("clean up", CleanUpAsync)],
        () => RemoveAsync(CancellationToken.None),
        cancellationToken);

    private async Task<string> ConnectAsync(CancellationToken cancellationToken)
    {
        var location = await client.LocationAsync(cancellationToken).ConfigureAwait(false);
        if (options.Location is { } named && !string.Equals(named, location, StringComparison.OrdinalIgnoreCase))
        {
            throw new UserErrorException(BigQueryOptions.LocationSetting, $"The dataset {options.Place} is in {location}, not in {named}.", "Leave location out, or give the dataset's.");
        }

        return $"Dataset {options.Place} in {location}.";
    }

    private async Task<string> MayWriteAsync(CancellationToken cancellationToken)
    {
        await client.CreateAsync(new BigQueryNewTable(Table, [Column]) { Expires = Expires }, cancellationToken).ConfigureAwait(false);
        _made = true;
        await client.QueryAsync($"exporter_check_{_id}_jobs", "SELECT 1 AS one", cancellationToken).ConfigureAwait(false);
        var there = options.Table.Contains("{export}", StringComparison.Ordinal) ? null : await client.FindAsync(options.Table, cancellationToken).ConfigureAwait(false);
        return $"Tables may be made in {options.Place} and jobs in {options.Project}{(there is null ? "" : $"; {options.Table} is there")}.";
    }

    private async Task<string> WriteAsync(CancellationToken cancellationToken)
    {
        var schema = new Schema([new Field("value", StringType.Default, nullable: true)], null);
        await client.CreateAsync(new BigQueryNewTable(Stage, [Column]) { Expires = Expires }, cancellationToken).ConfigureAwait(false);
        _staged = true;
        using var file = new EncodedSlice(format, schema);
        using var batch = new RecordBatch(schema, [new StringArray.Builder().Append(Value).Build()], 1);
        await file.EncodeAsync(batch, cancellationToken).ConfigureAwait(false);
        await file.CompleteAsync(cancellationToken).ConfigureAwait(false);
        var load = await client.LoadAsync($"exporter_check_{_id}_load", Stage, [Column], cancellationToken).ConfigureAwait(false);
        await load.CompleteAsync(file.Output.TakeAll(), cancellationToken).ConfigureAwait(false);

        // Load jobs are free and transactions are not: https://cloud.google.com/bigquery/docs/sandbox has none.
        await client.QueryAsync(
            $"exporter_check_{_id}_write",
            $"BEGIN TRANSACTION;\nINSERT INTO {BigQueryName.Table(options, Table)} (`value`) SELECT `value` FROM {BigQueryName.Table(options, Stage)};\nCOMMIT TRANSACTION",
            cancellationToken).ConfigureAwait(false);
        return "A file was loaded, and its row inserted in a transaction.";
    }

    private async Task<string> ReadAsync(CancellationToken cancellationToken)
    {
        var found = await client.QueryAsync($"exporter_check_{_id}_read", $"SELECT `value` FROM {BigQueryName.Table(options, Table)}", cancellationToken).ConfigureAwait(false);
        return found.Rows.Count == 1 && found.Value(0, "value") == Value
            ? "It was read back."
            : throw new InvalidDataException(string.Create(CultureInfo.InvariantCulture, $"Another text came back than was written, in {found.Rows.Count} rows."));
    }

    private async Task<string> CleanUpAsync(CancellationToken cancellationToken)
    {
        await RemoveAsync(cancellationToken).ConfigureAwait(false);
        return "The tables were removed; nothing is left.";
    }

    private async Task RemoveAsync(CancellationToken cancellationToken)
    {
        if (_staged)
        {
            await client.DropAsync(Stage, cancellationToken).ConfigureAwait(false);
            _staged = false;
        }

        if (_made)
        {
            await client.DropAsync(Table, cancellationToken).ConfigureAwait(false);
            _made = false;
        }
    }
}
