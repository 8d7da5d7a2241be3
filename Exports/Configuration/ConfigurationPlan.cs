using System.Text.Json;
using System.Text.Json.Nodes;
using Exporter.Exports.Destinations;
using Exporter.Exports.Model;

namespace Exporter.Exports.Configuration;

/// <summary>What has to be done so that everything is as a file says; in the order in which it is done.</summary>
/// <param name="Steps">None when everything is so already.</param>
internal sealed record ConfigurationPlan(IReadOnlyList<PlannedStep> Steps)
{
    /// <summary>Compares what is wanted with what is there. Pure.</summary>
    /// <param name="destinations">The destinations of the file, with their secrets.</param>
    /// <param name="exports">The exports of the file.</param>
    /// <param name="there">The destinations that are there, with their secrets.</param>
    /// <param name="running">The exports that are there.</param>
    /// <param name="prune">Whether what the file does not have is removed.</param>
    /// <exception cref="UserErrorException">Something is wanted that cannot be.</exception>
    public static ConfigurationPlan Of(
        IReadOnlyList<Destination> destinations, IReadOnlyList<ConfiguredExport> exports, IReadOnlyList<Destination> there, IReadOnlyList<BatchExportView> running, bool prune)
    {
        var steps = new List<PlannedStep>();
        var before = there.ToDictionary(one => one.Name, StringComparer.Ordinal);
        foreach (var wanted in destinations)
        {
            if (!before.TryGetValue(wanted.Name, out var one))
            {
                steps.Add(new(PlannedAction.Create, "destination", wanted.Name, []) { Destination = wanted });
            }
            else if (Edit(one, wanted) is { Count: > 0 } changes)
            {
                steps.Add(new(PlannedAction.Change, "destination", wanted.Name, changes) { Destination = wanted, Before = one });
            }
        }

        var known = before.Keys.Concat(destinations.Select(one => one.Name)).ToHashSet(StringComparer.Ordinal);
        var runningByName = running.ToDictionary(one => one.Name, StringComparer.Ordinal);
        foreach (var wanted in exports)
        {
            _ = known.Contains(wanted.Destination) ? 0 : throw DestinationStore.Unknown(wanted.Destination);
            if (!runningByName.TryGetValue(wanted.Name, out var one))
            {
                steps.Add(new(PlannedAction.Create, "export", wanted.Name, []) { Export = wanted });
            }
            else if (Edit(one, wanted) is { Count: > 0 } changes)
            {
                steps.Add(new(PlannedAction.Change, "export", wanted.Name, changes) { Export = wanted, ExportBefore = one });
            }
        }

        if (prune)
        {
            // Exports first: a destination that is used is not deleted.
            steps.AddRange(running.Where(one => exports.All(wanted => wanted.Name != one.Name)).Select(one => new PlannedStep(PlannedAction.Delete, "export", one.Name, [])));
            steps.AddRange(there.Where(one => destinations.All(wanted => wanted.Name != one.Name)).Select(one => new PlannedStep(PlannedAction.Delete, "destination", one.Name, [])));
        }

        return new ConfigurationPlan(steps);
    }

    private static IReadOnlyList<FieldChange> Edit(Destination before, Destination wanted)
    {
        if (before.Kind != wanted.Kind)
        {
            throw new UserErrorException("kind", $"Destination \"{before.Name}\" is of kind {before.Kind} and cannot become {wanted.Kind}.", "Give the new one another name.");
        }

        return
        [
            .. FieldChange.Between(before.Settings, wanted.Settings),
            .. before.Secrets.Keys.Union(wanted.Secrets.Keys, StringComparer.Ordinal)
                .Where(name => before.Secrets.GetValueOrDefault(name) != wanted.Secrets.GetValueOrDefault(name))
                .Select(name => new FieldChange(name, Masked(before.Secrets.ContainsKey(name)), Masked(wanted.Secrets.ContainsKey(name)))),
        ];
    }

    private static IReadOnlyList<FieldChange> Edit(BatchExportView before, ConfiguredExport wanted)
    {
        if (before.Destination != wanted.Destination)
        {
            throw new UserErrorException(
                "destination", $"Export \"{before.Name}\" goes to {before.Destination} and cannot go to {wanted.Destination}.", "Give the new one another name: what it has exported is found by name and destination.");
        }

        return FieldChange.Between(Node(new ConfiguredExport
        {
            Name = before.Name,
            Destination = before.Destination,
            Model = before.Model,
            Format = before.Format,
            Schedule = before.Schedule.WithoutPast(),
            Settings = before.Settings,
            Paused = wanted.Paused is null ? null : before.Paused,
        }), Node(wanted with { Schedule = Comparable(before.Schedule, wanted.Schedule) }));
    }

    // Where a schedule began is its own affair once it has been changed.
    private static ExportSchedule Comparable(ExportSchedule before, ExportSchedule wanted) => before.WithoutPast().Start == before.Start ? wanted : wanted with { Start = null };

    private static JsonValue? Masked(bool there) => there ? JsonValue.Create("***") : null;

    private static JsonNode? Node(ConfiguredExport export) => JsonSerializer.SerializeToNode(export, ExportJson.Options);
}

/// <summary>One thing that has to be done.</summary>
/// <param name="Action">What.</param>
/// <param name="Kind">destination or export.</param>
/// <param name="Name">To which.</param>
/// <param name="Changes">The fields that become others, when it is changed; secrets masked.</param>
internal sealed record PlannedStep(PlannedAction Action, string Kind, string Name, IReadOnlyList<FieldChange> Changes)
{
    internal Destination? Destination { get; init; }

    internal Destination? Before { get; init; }

    internal ConfiguredExport? Export { get; init; }

    internal BatchExportView? ExportBefore { get; init; }
}

/// <summary>What is done to something.</summary>
internal enum PlannedAction
{
    /// <summary>It is made.</summary>
    Create,

    /// <summary>Fields of it become others.</summary>
    Change,

    /// <summary>It is removed; what it has exported stays.</summary>
    Delete,
}
