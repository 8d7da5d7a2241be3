namespace Exporter.Engine.Workflows;

/// <summary>
/// Code registered under a name. It runs from the top whenever a run is claimed; steps that are recorded answer from the
/// record, so only the code between steps is repeated.
/// </summary>
/// <typeparam name="TInput">What a run is started with; serialised as JSON through the payload codec.</typeparam>
/// <typeparam name="TOutput">What a completed run answers; serialised likewise.</typeparam>
public interface IWorkflow<TInput, TOutput>
{
    /// <summary>The whole story of a run. Ask for steps in an order that depends only on the input and on recorded outputs.</summary>
    /// <param name="run">The run: its steps, its cancellation, its log.</param>
    /// <param name="input">What the run was started with.</param>
    Task<TOutput> RunAsync(IWorkflowContext run, TInput input);
}
