using Exporter.Exports.Model;

namespace Exporter.Exports.Configuration;

/// <summary>Does what a plan says, a step after the other. Each is a change as somebody would make it by hand, with its entry in the audit log; when
/// one is refused those before it stay, and the file is applied again when that is mended.</summary>
internal sealed class ConfigurationApplier(DestinationStore destinations, BatchExportStore exports)
{
    /// <summary>What is there, with secrets.</summary>
    public async Task<(IReadOnlyList<Destination> Destinations, IReadOnlyList<BatchExportView> Exports)> LoadAsync(CancellationToken cancellationToken)
    {
        var there = new List<Destination>();
        foreach (var view in await destinations.ListAsync(cancellationToken).ConfigureAwait(false))
        {
            there.Add(await destinations.LoadAsync(view.DestinationId, cancellationToken).ConfigureAwait(false));
        }

        return (there, await exports.ListAsync(cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Tries all that is new or other, before the first step is done.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="check">Asks the source about a model.</param>
    /// <param name="advice">What to do when a destination cannot be reached.</param>
    /// <param name="cancellationToken">Cancels it.</param>
    /// <exception cref="Destinations.UserErrorException">A destination or a model is not as it has to be.</exception>
    public static async Task TestAsync(
        ConfigurationPlan plan, Func<SourceModel, CancellationToken, Task> check, string advice, CancellationToken cancellationToken)
    {
        foreach (var destination in plan.Steps.Select(step => step.Destination).OfType<Destination>())
        {
            await DestinationTrial.DemandAsync(destination, $"That is {destination.Name}. {advice}", cancellationToken).ConfigureAwait(false);
        }

        foreach (var step in plan.Steps.Where(step => step.Export is not null
            && (step.Action == PlannedAction.Create || step.Changes.Any(change => change.Field.StartsWith("model.", StringComparison.Ordinal)))))
        {
            await check(step.Export!.Model, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Does one step.</summary>
    public Task ApplyAsync(PlannedStep step, string actor, CancellationToken cancellationToken) => step switch
    {
        { Action: PlannedAction.Create, Destination: { } made } => destinations.CreateAsync(made, actor, cancellationToken),
        { Action: PlannedAction.Change, Destination: { } wanted, Before: { } before } => destinations.EditAsync(wanted.Name, EditOf(before, wanted), actor, cancellationToken),
        { Action: PlannedAction.Delete, Kind: "destination" } => destinations.DeleteAsync(step.Name, actor, cancellationToken),
        { Action: PlannedAction.Create, Export: { } made } => exports.CreateAsync(made.ToBatchExport(), made.Destination, actor, cancellationToken),
        { Action: PlannedAction.Change, Export: { } wanted, ExportBefore: { } before } => ChangeAsync(wanted, before, step, actor, cancellationToken),
        { Action: PlannedAction.Delete } => exports.DeleteAsync(step.Name, actor, cancellationToken),
        _ => throw new InvalidOperationException($"The plan has a step that is none: {step.Action} {step.Kind}."),
    };

    private async Task ChangeAsync(ConfiguredExport wanted, BatchExportView before, PlannedStep step, string actor, CancellationToken cancellationToken)
    {
        if (step.Changes.Any(change => change.Field != "paused"))
        {
            await exports.EditAsync(
                wanted.Name,
                new BatchExportEdit
                {
                    Model = wanted.Model,
                    Format = wanted.Format,
                    Settings = wanted.Settings,
                    Schedule = step.Changes.Any(change => change.Field.StartsWith("schedule.", StringComparison.Ordinal)) ? wanted.Schedule : null,
                    UnchangedSince = before.UpdatedAt,
                },
                actor,
                cancellationToken).ConfigureAwait(false);
        }

        if (wanted.Paused is { } paused && paused != before.Paused)
        {
            _ = paused
                ? await exports.PauseAsync(wanted.Name, "paused in a file", actor, cancellationToken).ConfigureAwait(false)
                : await exports.UnpauseAsync(wanted.Name, actor, cancellationToken).ConfigureAwait(false);
        }
    }

    private static DestinationEdit EditOf(Destination before, Destination wanted) => new()
    {
        Settings = before.Settings.Select(pair => pair.Key).Union(wanted.Settings.Select(pair => pair.Key), StringComparer.Ordinal)
            .ToDictionary(name => name, name => wanted.Settings[name]?.DeepClone(), StringComparer.Ordinal),
        Secrets = before.Secrets.Keys.Union(wanted.Secrets.Keys, StringComparer.Ordinal)
            .ToDictionary(name => name, name => wanted.Secrets.GetValueOrDefault(name), StringComparer.Ordinal),
    };
}
