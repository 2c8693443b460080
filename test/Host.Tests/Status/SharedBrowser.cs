namespace StreamsHost.Tests.Status;

/// <summary>One browser for the tests of a class, which run one after the other: a start of Chromium takes two seconds.</summary>
public sealed class SharedBrowser : IAsyncDisposable
{
    private Browser? _browser;

    /// <summary>The browser as a new one is: an empty page, its own size and scheme, no complaints. Starts it at the first call.</summary>
    internal async Task<Browser> GetAsync(CancellationToken cancellationToken)
    {
        _browser ??= await Browser.StartAsync(cancellationToken);
        await _browser.ResetAsync(cancellationToken);
        return _browser;
    }

    public ValueTask DisposeAsync() => _browser?.DisposeAsync() ?? default;
}
