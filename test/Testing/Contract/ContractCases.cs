namespace ByteStreams.Testing;

/// <summary>Named cases of a contract, and how one of them is run: with a time that it may take, and a message that names it.</summary>
internal sealed class ContractCases<TSubject>(params (string Name, Func<TSubject, CancellationToken, Task> Run)[] cases)
{
    public IReadOnlyList<string> Names { get; } = [.. cases.Select(each => each.Name)];

    public async Task RunAsync(TSubject subject, string name, TimeSpan patience, CancellationToken cancellationToken)
    {
        Func<TSubject, CancellationToken, Task> run = cases.FirstOrDefault(each => each.Name == name).Run
            ?? throw new ArgumentException($"There is no case '{name}'; they are {string.Join(", ", Names)}.", nameof(name));
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        late.CancelAfter(patience);
        try
        {
            await run(subject, late.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException waited) when (late.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new ContractException($"{name}: it did not end within {patience.TotalSeconds:0.###} s.", waited);
        }
        catch (Exception broken) when (broken is not OperationCanceledException)
        {
            throw new ContractException($"{name}: {broken.Message}", broken);
        }
    }
}
