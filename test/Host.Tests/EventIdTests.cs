using System.Reflection;
using ByteStreams;
using Microsoft.Extensions.Logging;
using StreamsHost.Hosting;

namespace StreamsHost.Tests;

/// <summary>An operator filters the log by event id: an id stands for one message, in the library and in the host together.</summary>
public class EventIdTests
{
    [Fact]
    public void LoggerMessages_OfLibraryAndHost_HaveUniqueIds()
    {
        (int Id, string Method)[] messages =
        [
            .. new[] { typeof(ByteStream).Assembly, typeof(HostApplication).Assembly }
                .SelectMany(assembly => assembly.GetTypes())
                .SelectMany(type => type.GetMethods(BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
                .Select(method => (Message: method.GetCustomAttribute<LoggerMessageAttribute>(), method))
                .Where(pair => pair.Message is not null)
                .Select(pair => (pair.Message!.EventId, $"{pair.method.DeclaringType!.FullName}.{pair.method.Name}")),
        ];

        Assert.True(messages.Length > 80, $"Only {messages.Length} messages were found.");
        Assert.Empty(messages.GroupBy(message => message.Id).Where(same => same.Count() > 1)
            .Select(same => $"{same.Key}: {string.Join(", ", same.Select(message => message.Method))}"));
    }
}
