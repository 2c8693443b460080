using System.Threading.Channels;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Primitives;

namespace ByteStreams.Hosting;

/// <summary>The changes of configuration sections. Those that arrive before one is taken are combined. Thread-safe.</summary>
internal sealed class ConfigurationChanges : IDisposable
{
    private readonly List<IDisposable> _subscriptions = [];
    private readonly Channel<bool> _pending = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Subscribes to sections. Called once.</summary>
    public void Subscribe(IEnumerable<IConfiguration> sections)
    {
        foreach (IConfiguration section in sections)
        {
            _subscriptions.Add(ChangeToken.OnChange(section.GetReloadToken, () => _pending.Writer.TryWrite(true)));
        }
    }

    /// <summary>Waits until a change is pending.</summary>
    public ValueTask<bool> WaitAsync(CancellationToken cancellationToken) => _pending.Reader.WaitToReadAsync(cancellationToken);

    /// <summary>Takes the pending change; false if there is none.</summary>
    public bool TryTake() => _pending.Reader.TryRead(out _);

    /// <summary>Ends the subscriptions. A second call does nothing.</summary>
    public void Dispose()
    {
        foreach (IDisposable subscription in _subscriptions)
        {
            subscription.Dispose();
        }
    }
}
