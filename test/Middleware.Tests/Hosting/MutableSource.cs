using Microsoft.Extensions.Configuration;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>Configuration that changes while it is used.</summary>
internal sealed class MutableSource : ConfigurationProvider, IConfigurationSource
{
    private (string Path, Action Action)? _atReading;

    public void AtNextReading(string path, Action action) => _atReading = (path, action);

    public override bool TryGet(string key, out string? value)
    {
        bool found = base.TryGet(key, out value);
        if (_atReading is var (path, action) && path == key)
        {
            _atReading = null;
            action();
        }

        return found;
    }

    public IConfigurationProvider Build(IConfigurationBuilder builder) => this;

    public void Change(IEnumerable<(string Path, string? Value)> settings)
    {
        // Readers go on with the old one.
        var next = new Dictionary<string, string?>(Data, StringComparer.OrdinalIgnoreCase);
        foreach ((string path, string? value) in settings)
        {
            if (value is null)
            {
                next.Remove(path);
            }
            else
            {
                next[path] = value;
            }
        }

        Data = next;
        OnReload();
    }
}
